"""A report as one page: text and tables that read without a script, and plots that a script in the page draws."""
