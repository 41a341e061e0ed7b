"""What benches/model.rs does, in transformers: python model_reference.py CHECKPOINT THREADS CHUNKS BATCHES

"same work" is given the cached prefix and the chunks of forced tokens too; "generate" reads the whole prompt and decides all
45 tokens one by one, as a plain call does. Preprocessing is left out of both."""

import copy
import sys
import time

import torch
from transformers import AutoModelForImageTextToText, DynamicCache

folder, threads, chunks, batches = sys.argv[1], int(sys.argv[2]), *[[int(n) for n in arg.split(",")] for arg in sys.argv[3:5]]
torch.set_num_threads(threads)
torch.set_grad_enabled(False)
model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa").eval()
IMAGE, START, END = model.config.image_token_id, model.config.vision_start_token_id, model.config.vision_end_token_id
GRID, TOKENS = [1, 12, 28], 84


def text(count, seed):
    return [(i * 37 + seed * 101) % 1900 for i in range(count)]


def with_image(before, after):
    return text(before, 1) + [START] + [IMAGE] * TOKENS + [END] + text(after, 2)


def inputs(ids, images, batch):
    ids = torch.tensor([ids] * batch)
    pixels = torch.randn(images * batch * GRID[1] * GRID[2], 1536)
    return dict(input_ids=ids, pixel_values=pixels, image_grid_thw=torch.tensor([GRID] * (images * batch)),
                mm_token_type_ids=(ids == IMAGE).int())


prefix_ids = with_image(40, 25) + with_image(60, 0)
query_ids = with_image(1, 8)
prefix = DynamicCache(config=model.config)
model(**inputs(prefix_ids, 2, 1), past_key_values=prefix, logits_to_keep=1)
at = int(model.model.get_rope_index(**{k: v for k, v in inputs(prefix_ids, 2, 1).items() if k != "pixel_values"})[0].max()) + 1


def same_work(batch):
    cache = copy.deepcopy(prefix)
    cache.batch_repeat_interleave(batch)
    given = inputs(query_ids, 1, batch)
    positions = model.model.get_rope_index(**{k: v for k, v in given.items() if k != "pixel_values"})[0] + at
    out = model(**given, position_ids=positions, past_key_values=cache, logits_to_keep=1).logits
    here = int(positions.max()) + 1
    for nth, chunk in enumerate(chunks[:-1]):
        positions = (torch.arange(chunk) + here).expand(3, batch, chunk)
        here += chunk
        out = model(input_ids=torch.tensor([text(chunk, nth)] * batch), position_ids=positions, past_key_values=cache,
                    logits_to_keep=1).logits
    return out


def generate(batch):
    return model.generate(**inputs(prefix_ids + query_ids, 3, batch), max_new_tokens=45, min_new_tokens=45, do_sample=False,
                          pad_token_id=0, eos_token_id=None)


for name, work in (("same work", same_work), ("generate", generate)):
    for batch in batches:
        work(batch)
        start, cpu, samples = time.time(), time.process_time(), 0
        while time.time() - start < 4:
            work(batch)
            samples += batch
        rate, each = samples / (time.time() - start), (time.process_time() - cpu) / samples * 1000
        print(f"transformers {name}, batches of {batch}: {rate:.1f} samples/s, {each:.0f} ms of CPU each", flush=True)
