"""What CI systems read: annotations, test reports, metrics; one file per format."""
