"""The benchmark's report: results, tables, figures and pages."""
