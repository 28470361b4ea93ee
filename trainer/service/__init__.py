"""The training host by itself: its timetable, the rows that it runs at their hours, and the record of them."""
