"""Any recording through the trained system: the stages in a row, and what is handed to the user."""
