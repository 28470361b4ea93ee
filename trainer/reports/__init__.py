"""Reports of trainings, as HTML, Markdown and pictures. Nothing here computes a figure."""
