"""Loads an adapter that mekiki trained with transformers and peft, and compares logits with mekiki's own.

    cargo build --example adapter_logits
    python examples/check_peft.py CHECKPOINT ADAPTER [IMAGE]

Needs torch, transformers, peft, pillow and safetensors. Exits 1 where the logits differ by more than 1e-3 of the largest, where
the adapter changes nothing, or where peft leaves one of its tensors out.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

TEXT = "Compare the pins of the two pictures.\n- your judgement->"
ROOT = Path(__file__).resolve().parent.parent


def patches(picture, grid, vision, mean, std):
    """Pixel values in the order of the family's processors; the picture is already of the grid's size."""
    patch, merge, frames = vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size
    pixels = (np.asarray(picture, dtype=np.float32) / 255 - mean) / std
    rows, columns = grid
    blocks = pixels.reshape(rows // merge, merge, patch, columns // merge, merge, patch, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    flat = np.repeat(blocks.reshape(rows * columns, 3, 1, patch, patch), frames, axis=2)
    return torch.from_numpy(flat.reshape(rows * columns, -1).astype(np.float32))


def main():
    base, adapter = Path(sys.argv[1]), Path(sys.argv[2])
    out = Path(tempfile.mkdtemp())
    model = AutoModelForImageTextToText.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    vision = model.config.vision_config
    # A size that needs no resizing, so that only the networks are compared.
    side = vision.patch_size * vision.spatial_merge_size
    picture = Image.open(sys.argv[3]).convert("RGB") if len(sys.argv) > 3 else Image.effect_noise((4 * side, 3 * side), 80).convert("RGB")
    picture = picture.resize((picture.width // side * side, picture.height // side * side))
    picture.save(out / "query.png")
    binary = next((ROOT / "target" / profile / "examples" / "adapter_logits" for profile in ("release", "debug") if (ROOT / "target" / profile / "examples" / "adapter_logits").exists()), None)
    if binary is None:
        sys.exit("expected target/debug/examples/adapter_logits: run cargo build --example adapter_logits")
    subprocess.run([binary, base, adapter, out / "query.png", TEXT, out / "logits.safetensors"], check=True)
    ours = load_file(out / "logits.safetensors")
    grid = ours["grid"].tolist()
    if [side // vision.spatial_merge_size * count for count in reversed(grid)] != list(picture.size):
        sys.exit(f"expected a checkpoint that keeps a picture of {picture.size}, got a grid of {grid}: pass an IMAGE of another size")
    # Qwen3-VL has its own mean; the older two are normalised as CLIP is.
    half = model.config.model_type == "qwen3_vl"
    mean = np.array([0.5] * 3 if half else [0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
    std = np.array([0.5] * 3 if half else [0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
    ids = ours["ids"].long()[None]
    inputs = dict(
        input_ids=ids, pixel_values=patches(picture, grid, vision, mean, std), image_grid_thw=torch.tensor([[1, *grid]]),
        mm_token_type_ids=(ids == model.config.image_token_id).int(),
    )
    with torch.no_grad():
        before = model(**inputs).logits[0]
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        adapted = PeftModel.from_pretrained(model, adapter).eval()
    # peft leaves out tensors whose names it does not know, and starts others anew, with no more than a warning.
    ignored = [str(warning.message) for warning in said if "adapter keys" in str(warning.message)]
    file = load_file(adapter / "adapter_model.safetensors")
    loaded = {name for name, _ in adapted.named_parameters() if "lora_" in name}
    missing = loaded - {name.replace(".weight", ".default.weight") for name in file if "lora_" in name}
    with torch.no_grad():
        after = adapted(**inputs).logits[0]
    largest = after.abs().max().item()
    gap_base, gap = [(theirs - mine).abs().max().item() for theirs, mine in ((before, ours["base"]), (after, ours["adapted"]))]
    changed = (after - before).abs().max().item()
    print(f"{len(file)} tensors; logits up to {largest:.3f}; base differs by {gap_base:.1e}, adapted by {gap:.1e}; the adapter changes them by up to {changed:.3f}")
    for line in [*ignored, *(f"peft has {name}, the adapter has not" for name in sorted(missing))]:
        print(line)
    if gap > 1e-3 * largest or changed == 0 or ignored or missing:
        sys.exit(1)


if __name__ == "__main__":
    main()
