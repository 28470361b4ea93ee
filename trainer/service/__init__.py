"""The unattended training host: its timetable, its scheduled rows and the log of their runs."""
