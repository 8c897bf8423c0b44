"""From series and model to map: tiles, prediction, writing."""
