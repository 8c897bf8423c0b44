"""Masks from labels of whole windows (Exact): losses, prototypes, class activation maps, pseudo labels."""
