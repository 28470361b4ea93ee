"""Scores: computing, ranking, blending, delivering and recording them."""
