"""CLIP: photos and words as vectors of one space; frozen, read from a local folder."""

from sits_engine.models.clip.cache import photo_vectors, text_vectors
from sits_engine.models.clip.encoder import ClipEncoder, Images
from sits_engine.models.clip.fetch import default_clip, fetch_clip

__all__ = ["ClipEncoder", "Images", "default_clip", "fetch_clip", "photo_vectors", "text_vectors"]
