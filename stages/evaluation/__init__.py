"""What the numbers say: intervals, tables, plots, exports."""
