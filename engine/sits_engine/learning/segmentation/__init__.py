"""Training of networks that segment windows: CSCL pre-training, fine-tuning, scores at parcel borders."""
