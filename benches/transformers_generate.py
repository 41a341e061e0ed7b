"""What benches/speed measures, in transformers: python transformers_generate.py DIR [BATCHES] [SECONDS]

DIR is what `speed make DIR` wrote: the same checkpoint, the same prompts, the same files. A fair baseline: bf16 on the GPU,
the patch embedding as a linear layer (Conv3d is many times slower), sdpa attention, 45 new tokens (what an answer takes),
images prepared on the GPU by the fast processor, medians of warm batches that no query is seen twice in. "whole" counts
from image files to text, "generate" the call of generate() alone."""

import json
import os
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, PreTrainedTokenizerFast

folder = sys.argv[1]
batches = [int(n) for n in (sys.argv[2] if len(sys.argv) > 2 else "1,32,128").split(",")]
limit = float(sys.argv[3]) if len(sys.argv) > 3 else 20
torch.set_grad_enabled(False)
began = time.time()
model = AutoModelForImageTextToText.from_pretrained(f"{folder}/model", dtype=torch.bfloat16, attn_implementation="sdpa").cuda().eval()
tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{folder}/model/tokenizer.json", pad_token="<|endoftext|>", padding_side="left")
try:
    images = AutoImageProcessor.from_pretrained(f"{folder}/model", backend="torchvision")
except Exception:
    images = AutoImageProcessor.from_pretrained(f"{folder}/model", use_fast=True)
print(f"transformers {transformers.__version__}, torch {torch.__version__}, {type(images).__name__}, loaded in {time.time() - began:.1f} s", flush=True)


class Patches(torch.nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.weight, self.bias = conv.weight.flatten(1), conv.bias

    def forward(self, x):
        return torch.nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


embed = model.model.visual.patch_embed
linear = Patches(embed.proj)
embed.forward = linear.forward
PAD = "<|image_pad|>"
MERGE = model.config.vision_config.spatial_merge_size**2
IMAGE = model.config.image_token_id
lines = [json.loads(line) for line in open(f"{folder}/prompts.jsonl")]


def inputs(some):
    with ThreadPoolExecutor(16) as threads:
        opened = list(threads.map(lambda path: Image.open(path).convert("RGB"), [path for line in some for path in line["images"]]))
    seen = images(images=opened, return_tensors="pt", device="cuda")
    grids = iter(seen["image_grid_thw"].tolist())
    texts = []
    for line in some:
        parts = line["text"].split(PAD)
        text = parts[0]
        for part in parts[1:]:
            t, h, w = next(grids)
            text += PAD * (t * h * w // MERGE) + part
        texts.append(text)
    tokens = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False)
    ids = tokens["input_ids"].cuda()
    return dict(input_ids=ids, attention_mask=tokens["attention_mask"].cuda(), pixel_values=seen["pixel_values"].cuda(),
                image_grid_thw=seen["image_grid_thw"].cuda(), mm_token_type_ids=(ids == IMAGE).int())


def generate(given):
    try:
        return model.generate(**given, max_new_tokens=45, min_new_tokens=45, do_sample=False, pad_token_id=0, eos_token_id=None)
    except ValueError as error:
        if "mm_token_type_ids" not in str(error):
            raise
        given.pop("mm_token_type_ids")
        return generate(given)


print("batch  samples/s whole  samples/s generate  peak MiB", flush=True)
at = 0
for batch in batches:
    try:
        whole, alone, start = [], [], time.time()
        torch.cuda.reset_peak_memory_stats()
        for turn in range(9):
            if at + batch > len(lines):
                at = 0
            some, at = lines[at : at + batch], at + batch
            torch.cuda.synchronize()
            t0 = time.time()
            given = inputs(some)
            torch.cuda.synchronize()
            t1 = time.time()
            out = generate(given)
            text = tokenizer.batch_decode(out[:, given["input_ids"].shape[1] :])
            t2 = time.time()
            if turn:
                whole.append(batch / (t2 - t0))
                alone.append(batch / (t2 - t1))
            if turn > 1 and time.time() - start > limit:
                break
        print(f"{batch:5}  {statistics.median(whole):15.2f}  {statistics.median(alone):18.2f}  {torch.cuda.max_memory_allocated() >> 20:8}"
              f"   ({len(whole)} runs, prompts of {given['input_ids'].shape[1]} tokens)", flush=True)
    except Exception as error:
        print(f"{batch:5}  failed: {type(error).__name__}: {error}"[:600], flush=True)
        torch.cuda.empty_cache()
os._exit(0)
