"""TimeSenCLIP's satellite encoder: monthly composites of a place -> the space of CLIP."""
