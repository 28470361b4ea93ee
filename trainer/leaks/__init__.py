"""The leak battery: whether a training's figures could come from a look into the future."""
