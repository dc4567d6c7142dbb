"""What other benchmark tools read: one file per tool, thin over `exported`."""
