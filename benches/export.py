"""The same work as benches/export.rs, as one writes it with Pillow in an afternoon: python3 export.py messages|parquet SPEC OUT

SPEC is a JSONL of {"query", "reference", "exemplar", "instruction", "star", "star_answer", "answer"}; paths are absolute.
Every image is opened and verified with Pillow, copied, and hashed with SHA-256 (the fastest that Python carries).
"""
import hashlib, json, os, shutil, sys
from PIL import Image


def rows(spec):
    for line in open(spec, encoding="utf-8"):
        yield json.loads(line)


def turns(row):
    text = lambda t: {"type": "text", "text": t}
    image = {"type": "image"}
    asked = []
    if row["exemplar"]:
        asked = [
            {"role": "user", "content": [text(row["star"]), image]},
            {"role": "assistant", "content": [text(row["star_answer"])]},
        ]
    return asked + [
        {"role": "user", "content": [text(row["instruction"]), image, image]},
        {"role": "assistant", "content": [text(row["answer"])]},
    ]


def read(path):
    with Image.open(path) as image:
        image.verify()
    with open(path, "rb") as file:
        data = file.read()
    return data, hashlib.sha256(data).hexdigest()


def messages(spec, out):
    os.makedirs(f"{out}/images")
    os.makedirs(f"{out}/pool")
    pool = {}
    with open(f"{out}/metadata.jsonl", "w", encoding="utf-8") as metadata:
        for n, row in enumerate(rows(spec)):
            names = []
            for role in ("exemplar", "reference"):
                path = row[role]
                if path and path not in pool:
                    data, digest = read(path)
                    pool[path] = f"pool/{digest[:16]}.png"
                    open(f"{out}/{pool[path]}", "wb").write(data)
                if path:
                    names.append(pool[path])
            read(row["query"])
            names.append(f"images/{n:06}_0.png")
            shutil.copyfile(row["query"], f"{out}/{names[-1]}")
            said = turns(row)
            flat = [{"from": "human" if t["role"] == "user" else "gpt", "value": "\n".join(p.get("text", "<image>") for p in t["content"])} for t in said]
            metadata.write(json.dumps({"file_names": names, "messages": said, "conversations": flat, "id": f"{n:06}"}, ensure_ascii=False) + "\n")
    os.sync()


def parquet(spec, out):
    import pyarrow as pa, pyarrow.parquet as pq

    os.makedirs(f"{out}/data")
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    part = pa.struct([("type", pa.string()), ("text", pa.string())])
    message = pa.struct([("role", pa.string()), ("content", pa.list_(part))])
    schema = pa.schema([("images", pa.list_(image)), ("messages", pa.list_(message)), ("id", pa.string())])
    pool, batch = {}, []
    with pq.ParquetWriter(f"{out}/data/train.parquet", schema, compression="snappy", use_dictionary=False) as writer:
        for n, row in enumerate(rows(spec)):
            images = []
            for role in ("exemplar", "reference", "query"):
                path = row[role]
                if path and role != "query" and path not in pool:
                    pool[path] = read(path)[0]
                if path:
                    images.append({"bytes": pool[path] if path in pool else read(path)[0], "path": os.path.basename(path)})
            batch.append({"images": images, "messages": turns(row), "id": f"{n:06}"})
            if len(batch) == 100:
                writer.write_table(pa.Table.from_pylist(batch, schema))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema))
    os.sync()


{"messages": messages, "parquet": parquet}[sys.argv[1]](*sys.argv[2:])
