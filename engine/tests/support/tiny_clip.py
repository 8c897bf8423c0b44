"""A CLIP model with random weights in Hugging Face layout, made in less than a second."""

import json
from pathlib import Path

import torch


def byte_letters() -> list[str]:
    """The 256 letters that stand for bytes in CLIP's vocabulary (GPT-2's table)."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in kept]
    return [chr(byte) for byte in kept] + [chr(256 + place) for place in range(len(moved))]


def write_tokenizer(folder: Path, max_tokens: int) -> int:
    """CLIP's own kind of tokenizer, a token a letter; gives the number of tokens."""
    letters = byte_letters()
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": max_tokens,
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(words)


def tiny_clip(
    folder: Path,
    *,
    dim: int = 16,
    image_size: int = 32,
    max_tokens: int = 300,
    seed: int = 0,
    safe: bool = True,
) -> Path:
    """Write CLIPModel, CLIPTokenizer and CLIPImageProcessor to `folder` and give it back.

    A token is a letter, so `max_tokens` is larger than the 77 of real models: real prompts fit.

    Args:
        folder: made if need be.
        dim: length of the vectors.
        image_size: pixels along a side of what the network sees.
        max_tokens: letters of the longest text + 2.
        seed: of the random weights; another seed is another model (another fingerprint).
        safe: weights as safetensors, else as pytorch_model.bin.
    """
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel

    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = write_tokenizer(folder, max_tokens)
    narrow = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    text = {
        **narrow,
        "vocab_size": vocabulary,
        "max_position_embeddings": max_tokens,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": vocabulary - 1,
    }
    vision = {**narrow, "image_size": image_size, "patch_size": image_size // 4}
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=dim))
        for name, values in model.named_parameters():
            if "embedding" in name:  # CLIP starts them so small that all texts and photos would look the same
                values.data.mul_(20)
    model.save_pretrained(folder, safe_serialization=safe)
    size = {"height": image_size, "width": image_size}
    CLIPImageProcessor(size={"shortest_edge": image_size}, crop_size=size).save_pretrained(folder)
    return folder
