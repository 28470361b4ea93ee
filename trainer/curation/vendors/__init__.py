"""The forms in which vendors deliver bars, corporate actions and membership."""
