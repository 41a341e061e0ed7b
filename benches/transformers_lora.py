"""LoRA on one-shot conversations in transformers and peft, as `mekiki train --lora` does it, for the same figures:

    mekiki -C PROJECT train --emit trl --lora --from MODEL --one-shot-share 1 -o JOB
    python transformers_lora.py MODEL JOB/data [--batches 1,4,8,16] [--json FILE]

MODEL is the same checkpoint, JOB/data the same conversations. What is measured is what a careful person would run: weights and
factors in bf16, the vision tower frozen, sdpa attention (and flash attention where it is installed), the patch embedding as a
linear layer (Conv3d is many times slower), images and tokens prepared beforehand and pinned, the head computed for the answer's
tokens alone (--logits all: for every token, as the usual trainer does), fused AdamW, gradients clipped. With and without gradient
checkpointing. Ten steps to warm up, then thirty, or as many as fit into --seconds."""

import argparse
import gc
import json
import sys
import time
from pathlib import Path

import peft
import torch
import transformers
from PIL import Image
from transformers import AutoImageProcessor, AutoModelForImageTextToText, PreTrainedTokenizerFast

options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
options.add_argument("model")
options.add_argument("data")
options.add_argument("--batches", default="1,4,8,16")
options.add_argument("--rank", type=int, default=16)
options.add_argument("--warm-up", type=int, default=10)
options.add_argument("--steps", type=int, default=30)
options.add_argument("--seconds", type=float, default=12, help="no further timed step after so many seconds")
options.add_argument("--checkpointing", default="off,on")
options.add_argument("--logits", default="answer", choices=["answer", "all"])
options.add_argument("--json", help="a file to write the rows into")
given = options.parse_args()

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
PAD, SEEN = "<|image_pad|>", {"image": "<|vision_start|>{}<|vision_end|>"}


class Patches(torch.nn.Module):
    """The patch embedding's convolution, whose kernel is its stride, as the product that it is."""

    def __init__(self, conv):
        super().__init__()
        self.weight, self.bias = conv.weight.flatten(1), conv.bias

    def forward(self, x):
        return torch.nn.functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


def adapted(attention):
    model = AutoModelForImageTextToText.from_pretrained(given.model, dtype=torch.bfloat16, attn_implementation=attention).to(DEVICE)
    embed = model.model.visual.patch_embed
    embed.forward = Patches(embed.proj).forward
    targets = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"
    settings = peft.LoraConfig(r=given.rank, lora_alpha=2 * given.rank, lora_dropout=0.0, target_modules=targets, bias="none")
    return peft.get_peft_model(model, settings, autocast_adapter_dtype=False).train()


def conversations(config):
    """Tokens, places of the answer and pixels of every one-shot conversation."""
    merge = config.vision_config.spatial_merge_size**2
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=f"{given.model}/tokenizer.json")
    try:
        images = AutoImageProcessor.from_pretrained(given.model, backend="torchvision")
    except Exception:
        images = AutoImageProcessor.from_pretrained(given.model)
    encode = lambda text: tokenizer(text, add_special_tokens=False)["input_ids"]
    known, rows = {}, []
    for line in map(json.loads, open(Path(given.data) / "metadata.jsonl")):
        if line["kind"] != "one-shot" or line["split"] != "train":
            continue
        for name in line["file_names"]:
            if name not in known:
                picture = Image.open(Path(given.data) / name).convert("RGB")
                made = images(images=[picture], return_tensors="pt")
                known[name] = made["pixel_values"].to(torch.bfloat16), made["image_grid_thw"]
        names, text = iter(line["file_names"]), ""
        *asked, last = line["messages"]
        for turn in asked:
            said = "".join(
                part["text"] if part["type"] == "text" else SEEN["image"].format(PAD * (int(known[next(names)][1].prod()) // merge))
                for part in turn["content"]
            )
            text += f"<|im_start|>{turn['role']}\n{said}<|im_end|>\n"
        prompt = encode(text + "<|im_start|>assistant\n")
        answer = encode("".join(part["text"] for part in last["content"]) + "<|im_end|>")
        rows.append((prompt, answer, [known[name] for name in line["file_names"]]))
    if not rows:
        sys.exit(f"{given.data}/metadata.jsonl: expected one-shot conversations of the training split, got none")
    return rows


def batch(rows, image_token):
    longest = max(len(prompt) + len(answer) for prompt, answer, _ in rows)
    ids, mask, labels = (torch.full((len(rows), longest), fill) for fill in (0, 0, -100))
    for nth, (prompt, answer, _) in enumerate(rows):
        # At the end, so that answers stand where the same few logits are computed of every row.
        whole = torch.tensor(prompt + answer)
        ids[nth, -len(whole) :], mask[nth, -len(whole) :], labels[nth, -len(answer) :] = whole, 1, torch.tensor(answer)
    images = [image for *_, images in rows for image in images]
    made = {
        "input_ids": ids, "attention_mask": mask, "mm_token_type_ids": (ids == image_token).int(), "labels": labels,
        "pixel_values": torch.cat([pixels for pixels, _ in images]), "image_grid_thw": torch.cat([grid for _, grid in images]),
    }
    return {name: tensor.pin_memory() if CUDA else tensor for name, tensor in made.items()}


def loss_of(model, inputs, longest_answer):
    labels = inputs.pop("labels")
    keep = longest_answer + 1 if given.logits == "answer" else 0
    logits = model(**inputs, logits_to_keep=keep, use_cache=False).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels[:, -logits.shape[1] :].flatten(), ignore_index=-100)


def synchronised():
    if CUDA:
        torch.cuda.synchronize()
    return time.perf_counter()


def taken():
    """MiB that tensors took at the most, and MiB of the device that are taken."""
    if not CUDA:
        return 0, 0
    free, total = torch.cuda.mem_get_info()
    return torch.cuda.max_memory_allocated() >> 20, (total - free) >> 20


def measure(model, rows, size):
    if CUDA:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained, lr=2e-4, betas=(0.9, 0.999), weight_decay=0.0, fused=CUDA)
    image_token = model.config.image_token_id
    some = [batch([rows[(start + nth) % len(rows)] for nth in range(size)], image_token) for start in range(0, max(len(rows), size), size)]
    longest = max(len(answer) for _, answer, _ in rows)
    began, done, last = None, 0, None
    for step in range(given.warm_up + given.steps):
        if step == given.warm_up:
            began = synchronised()
        elif began and step > given.warm_up + 4:
            if synchronised() - began > given.seconds:
                break
        inputs = {name: tensor.to(DEVICE, non_blocking=True) for name, tensor in some[step % len(some)].items()}
        last = loss_of(model, inputs, longest)
        last.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        done += step >= given.warm_up
    speed = done * size / (synchronised() - began)
    tensors, device = taken()
    return {"samples_per_second": speed, "tensors_mib": tensors, "device_mib": device, "steps": done, "loss": last.item(),
            "tokens": some[0]["input_ids"].shape[1]}


def main():
    kinds = ["sdpa"]
    try:
        import flash_attn  # noqa: F401

        kinds.append("flash_attention_2")
    except ImportError:
        pass
    print(f"transformers {transformers.__version__}, peft {peft.__version__}, torch {torch.__version__}, attention: {', '.join(kinds)}", flush=True)
    found, rows = [], None
    for attention in kinds:
        model = adapted(attention)
        rows = rows or conversations(model.config)
        print(f"{len(rows)} conversations; {sum(p.numel() for p in model.parameters() if p.requires_grad)} trained values", flush=True)
        print("attention          checkpointing  batch  samples/s  tensors MiB  device MiB", flush=True)
        for checkpointing in given.checkpointing.split(","):
            if checkpointing == "on":
                # Without reentrance, inputs that need no gradient are no hindrance, and the tower is left alone.
                model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
            for size in map(int, given.batches.split(",")):
                row = {"attention": attention, "checkpointing": checkpointing, "logits": given.logits, "batch": size}
                try:
                    row |= measure(model, rows, size)
                    said = f"{row['samples_per_second']:9.2f}  {row['tensors_mib']:11}  {row['device_mib']:10}   ({row['steps']} steps of {row['tokens']} tokens, loss {row['loss']:.3f})"
                except torch.OutOfMemoryError as error:
                    row["error"] = said = f"out of memory: {str(error)[:80]}"
                    model.zero_grad(set_to_none=True)
                print(f"{attention:18} {checkpointing:13}  {size:5}  {said}", flush=True)
                found.append(row)
        del model
    if given.json:
        Path(given.json).write_text(json.dumps(found, indent=1))


main()
