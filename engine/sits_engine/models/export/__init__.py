"""Models for other programs: the network as ONNX, the card as STAC item."""
