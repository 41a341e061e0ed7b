//! The same plan as a job of an existing trainer, for several GPUs: TRL or LLaMA-Factory.
//!
//! Only texts are made here; the data set beside them is the export's. What neither trainer knows is left out and named.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::{Plan, Precision, Recompute};
use crate::model::adapter::Targets;

/// Which trainer a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trainer {
    /// Hugging Face TRL.
    Trl,
    /// LLaMA-Factory.
    LlamaFactory,
}

/// What a job is made of, besides the plan.
#[derive(Debug, Clone)]
pub struct Job<'a> {
    /// The checkpoint: a folder, or a name on the hub.
    pub model: &'a str,
    /// Its `model_type`.
    pub family: &'a str,
    /// Which layers are adapted, in peft's words.
    pub targets: Option<Targets>,
    /// The data set in LLaMA-Factory's list, of the training split and of the validation split.
    pub data: (&'a str, Option<&'a str>),
    /// The longest conversation, in tokens.
    pub longest: usize,
    /// The fewest and the most pixels that the checkpoint takes of an image.
    pub pixels: (u64, u64),
    /// GPUs.
    pub gpus: usize,
    /// Who writes, for example `mekiki 0.1.0`.
    pub tool: &'a str,
}

/// The data set's folder in a job.
pub const DATA: &str = "data";

impl Job<'_> {
    /// The files of a job, by name.
    pub fn files(&self, trainer: Trainer, plan: &Plan) -> Vec<(&'static str, String)> {
        match trainer {
            Trainer::Trl => self.trl(plan),
            Trainer::LlamaFactory => self.llama_factory(plan),
        }
    }

    /// What both trainers take under the names of transformers' `TrainingArguments`.
    fn common(&self, plan: &Plan) -> Map<String, Value> {
        let micro = plan.micro_batch.clamp(1, plan.batch.max(1));
        let accumulation = (plan.batch as f64 / (micro * self.gpus.max(1)) as f64).round().max(1.0) as u64;
        let common = json!({
            "output_dir": "out",
            "max_steps": plan.steps,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": accumulation,
            "learning_rate": plan.learning_rate,
            "lr_scheduler_type": "cosine_with_min_lr",
            "lr_scheduler_kwargs": { "min_lr_rate": plan.floor },
            "warmup_steps": plan.warm_up,
            "weight_decay": plan.weight_decay,
            "adam_beta1": plan.betas[0],
            "adam_beta2": plan.betas[1],
            "max_grad_norm": plan.clip,
            "bf16": plan.dtype == Precision::Bf16,
            "gradient_checkpointing": plan.recompute != Recompute::Never,
            "seed": plan.seed,
            "logging_steps": plan.log_every,
            "save_steps": plan.checkpoint_every,
            "report_to": "none",
        });
        if let Value::Object(common) = common { common } else { Map::new() }
    }

    fn trl(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let mut sft = self.common(plan);
        sft.insert("assistant_only_loss".to_owned(), true.into());
        sft.insert("max_length".to_owned(), Value::Null);
        sft.insert("gradient_checkpointing_kwargs".to_owned(), json!({ "use_reentrant": false }));
        if self.data.1.is_some() {
            sft.insert("eval_strategy".to_owned(), "steps".into());
            sft.insert("eval_steps".to_owned(), plan.evaluate_every.into());
        }
        let lora = plan.lora.as_ref().map(|lora| {
            let targets = match &self.targets {
                Some(Targets::Names(names)) => json!(names),
                Some(Targets::Pattern(pattern)) => json!(pattern),
                None => json!("all-linear"),
            };
            let whole = if lora.whole.is_empty() { Value::Null } else { json!(lora.whole) };
            json!({
                "r": lora.rank, "lora_alpha": lora.alpha, "lora_dropout": lora.dropout, "use_rslora": lora.rslora,
                "target_modules": targets, "modules_to_save": whole, "bias": "none", "task_type": "CAUSAL_LM",
            })
        });
        let dtype = if plan.dtype == Precision::Bf16 { "bfloat16" } else { "float32" };
        let job = json!({ "model": self.model, "dtype": dtype, "sft": sft, "lora": lora });
        let launch = format!(
            "#!/bin/sh\n# {}: {} GPUs.\ncd \"$(dirname \"$0\")\" && exec accelerate launch --config_file accelerate.yaml train.py \"$@\"\n",
            self.tool, self.gpus
        );
        vec![
            ("job.json", pretty(&job)),
            ("train.py", TRL.to_owned()),
            ("accelerate.yaml", self.accelerate(plan)),
            ("launch.sh", launch),
            ("plan.json", pretty(&json!(plan))),
            ("README.md", self.readme(plan, "TRL", "pip install trl peft accelerate datasets pillow torchvision", "sh launch.sh")),
        ]
    }

    /// Adapters are small enough for a copy of everything on each GPU; whole models are spread.
    fn accelerate(&self, plan: &Plan) -> String {
        let precision = if plan.dtype == Precision::Bf16 { "bf16" } else { "'no'" };
        let mut text = format!(
            "compute_environment: LOCAL_MACHINE\nmachine_rank: 0\nnum_machines: 1\nnum_processes: {}\nmixed_precision: {precision}\nmain_training_function: main\nrdzv_backend: static\nsame_network: true\nuse_cpu: false\n",
            self.gpus
        );
        if self.gpus < 2 {
            text.push_str("distributed_type: 'NO'\n");
        } else if plan.lora.is_some() {
            text.push_str("distributed_type: MULTI_GPU\n");
        } else {
            text.push_str(
                "distributed_type: FSDP\nfsdp_config:\n  fsdp_version: 2\n  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP\n  fsdp_reshard_after_forward: true\n  fsdp_state_dict_type: FULL_STATE_DICT\n  fsdp_cpu_ram_efficient_loading: false\n  fsdp_offload_params: false\n",
            );
        }
        text
    }

    fn llama_factory(&self, plan: &Plan) -> Vec<(&'static str, String)> {
        let mut job = self.common(plan);
        let mut set = |key: &str, value: Value| drop(job.insert(key.to_owned(), value));
        set("model_name_or_path", self.model.into());
        set("stage", "sft".into());
        set("do_train", true.into());
        // Its own names of the families' templates; that of Qwen3-VL without turns of thought.
        set("template", if self.family == "qwen3_vl" { "qwen3_vl_nothink" } else { "qwen2_vl" }.into());
        set("dataset", self.data.0.into());
        set("dataset_dir", DATA.into());
        set("media_dir", DATA.into());
        // Its own limits would cut three images off, and shrink them.
        set("cutoff_len", (self.longest.next_multiple_of(256) + 256).into());
        set("image_min_pixels", self.pixels.0.into());
        set("image_max_pixels", self.pixels.1.into());
        set("overwrite_output_dir", true.into());
        set("preprocessing_num_workers", 8.into());
        if let Some(validation) = self.data.1 {
            set("eval_dataset", validation.into());
            set("eval_strategy", "steps".into());
            set("eval_steps", plan.evaluate_every.into());
        }
        let vision = plan.lora.as_ref().is_none_or(|lora| lora.vision);
        set("freeze_vision_tower", (!vision).into());
        set("freeze_multi_modal_projector", (!vision).into());
        match &plan.lora {
            None => set("finetuning_type", "full".into()),
            Some(lora) => {
                set("finetuning_type", "lora".into());
                set("lora_rank", lora.rank.into());
                set("lora_alpha", (lora.alpha.round() as u64).into());
                set("lora_dropout", lora.dropout.into());
                set("use_rslora", lora.rslora.into());
                set("lora_target", if lora.targets.is_empty() { "all".to_owned() } else { lora.targets.join(",") }.into());
                if !lora.whole.is_empty() {
                    set("additional_target", lora.whole.join(",").into());
                }
            }
        }
        let mut files = Vec::new();
        if plan.lora.is_none() && self.gpus > 1 {
            set("deepspeed", "zero3.json".into());
            files.push(("zero3.json", pretty(&zero3())));
        }
        // JSON is YAML; one key a line is easier to edit.
        let mut yaml = String::new();
        for (key, value) in &job {
            // Writing to a string does not fail.
            let _ = writeln!(yaml, "{key}: {value}");
        }
        let torchrun = if self.gpus > 1 { format!("FORCE_TORCHRUN=1 NPROC_PER_NODE={} ", self.gpus) } else { String::new() };
        let launch = format!(
            "#!/bin/sh\n# {}: {} GPUs.\ncd \"$(dirname \"$0\")\" && exec env {torchrun}llamafactory-cli train train.yaml \"$@\"\n",
            self.tool, self.gpus
        );
        files.extend([
            ("train.yaml", yaml),
            ("launch.sh", launch),
            ("plan.json", pretty(&json!(plan))),
            ("README.md", self.readme(plan, "LLaMA-Factory", "pip install llamafactory deepspeed", "sh launch.sh")),
        ]);
        files
    }

    fn readme(&self, plan: &Plan, trainer: &str, install: &str, start: &str) -> String {
        let micro = plan.micro_batch.clamp(1, plan.batch.max(1));
        let mut text = format!(
            "# A job for {trainer}\n\nWritten by {}: the model {}, the data set in `{DATA}`, {} GPUs.\n\n    {install}\n    {start}\n\n",
            self.tool, self.model, self.gpus
        );
        let step = micro * self.gpus.max(1) * ((plan.batch as f64 / (micro * self.gpus.max(1)) as f64).round().max(1.0) as usize);
        if step != plan.batch {
            let _ = writeln!(
                text,
                "- A step has {step} conversations where the plan says {}: {} GPUs with {micro} each do not divide it.",
                plan.batch, self.gpus
            );
        }
        if plan.dense.is_some() {
            text.push_str("- The loss on the query's vision tokens is mekiki's own: this job learns from answers only.\n");
        }
        if plan.augment {
            text.push_str("- Pictures are shown as they are: the plan's augmentation is mekiki's own.\n");
        }
        if plan.time_limit.is_some() {
            text.push_str("- The plan's time limit is left out; `max_steps` ends the run.\n");
        }
        text.push_str("- What it makes, an adapter or a checkpoint, is in `out`: `mekiki predict` and `mekiki compare` take it.\n");
        text
    }
}

fn zero3() -> Value {
    json!({
        "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto", "zero_allow_untested_optimizer": true,
        "bf16": { "enabled": "auto" },
        "zero_optimization": {
            "stage": 3, "overlap_comm": false, "contiguous_gradients": true, "sub_group_size": 1e9, "reduce_bucket_size": "auto",
            "stage3_prefetch_bucket_size": "auto", "stage3_param_persistence_threshold": "auto", "stage3_max_live_parameters": 1e9,
            "stage3_max_reuse_distance": 1e9, "stage3_gather_16bit_weights_on_model_save": true,
        },
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

/// What runs `job.json`.
const TRL: &str = r#""""Trains job.json with TRL: accelerate launch --config_file accelerate.yaml train.py [max_steps=N …]"""

import json
import sys
from pathlib import Path

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import AutoModelForImageTextToText, AutoProcessor
from trl import SFTConfig, SFTTrainer
from trl.chat_template_utils import get_training_chat_template

HERE = Path(__file__).resolve().parent
# Plain ChatML that says which tokens are the assistant's, for templates that TRL does not know.
PLAIN = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['role'] == 'assistant' %}{% generation %}"
    "{% for part in message['content'] %}{{ part['text'] }}{% endfor %}<|im_end|>{% endgeneration %}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<|vision_start|><|image_pad|><|vision_end|>"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>{% endif %}{{ '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def with_template(processor, messages):
    """The processor with a template that TRL can learn from, and that says the same."""
    try:
        get_training_chat_template(processor)
    except ValueError:
        before = processor.apply_chat_template(messages, tokenize=False)
        processor.chat_template = processor.tokenizer.chat_template = PLAIN
        after = processor.apply_chat_template(messages, tokenize=False)
        if before != after:
            sys.exit(f"expected a chat template that TRL can learn from, or one that writes ChatML as here:\n{after}\ngot:\n{before}")
    return processor


def main():
    job = json.loads((HERE / "job.json").read_text())
    settings = job["sft"] | {"output_dir": str(HERE / job["sft"]["output_dir"])}
    for change in sys.argv[1:]:
        key, value = change.split("=", 1)
        settings[key] = json.loads(value)
    # "train" is what datasets calls the whole folder; each row names its own split.
    rows = load_dataset("imagefolder", data_dir=str(HERE / "data"), split="train")
    split = lambda name: rows.filter(lambda each: each == name, input_columns="split").select_columns(["messages", "images"])
    train, validation = split("train").shuffle(seed=settings["seed"]), split("validation")
    if not len(train):
        sys.exit("expected approved samples in the training split, got none")
    if not len(validation):
        settings.pop("eval_strategy", None)
        settings.pop("eval_steps", None)
    model = AutoModelForImageTextToText.from_pretrained(job["model"], dtype=getattr(torch, job["dtype"]))
    trainer = SFTTrainer(
        model=model, args=SFTConfig(**settings), train_dataset=train, eval_dataset=validation if len(validation) else None,
        processing_class=with_template(AutoProcessor.from_pretrained(job["model"]), train[0]["messages"]), peft_config=LoraConfig(**job["lora"]) if job["lora"] else None,
    )
    trainer.train()
    trainer.save_model()


if __name__ == "__main__":
    main()
"#;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::{DensePlan, LoraPlan};

    fn job(gpus: usize) -> Job<'static> {
        Job {
            model: "Qwen/Qwen3-VL-2B-Instruct",
            family: "qwen3_vl",
            targets: Some(Targets::Names(vec!["q_proj".to_owned()])),
            data: ("pins_train", Some("pins_validation")),
            longest: 1500,
            pixels: (1024, 1_048_576),
            gpus,
            tool: "mekiki 0.1.0",
        }
    }

    fn file<'a>(files: &'a [(&str, String)], name: &str) -> &'a str {
        &files.iter().find(|(found, _)| *found == name).unwrap().1
    }

    #[test]
    fn a_step_has_as_many_conversations_on_any_number_of_gpus() {
        let plan = Plan { batch: 32, micro_batch: 4, ..Plan::lora() };
        for (gpus, accumulation) in [(1, 8), (2, 4), (4, 2), (8, 1), (16, 1)] {
            let files = job(gpus).files(Trainer::Trl, &plan);
            let made: Value = serde_json::from_str(file(&files, "job.json")).unwrap();
            assert_eq!(made["sft"]["gradient_accumulation_steps"], accumulation);
            assert_eq!(file(&files, "README.md").contains("do not divide"), gpus == 16);
        }
    }

    #[test]
    fn what_the_trainers_do_not_know_is_named() {
        let plan = Plan { dense: Some(DensePlan::default()), time_limit: Some(60.0), ..Plan::scratch() };
        for trainer in [Trainer::Trl, Trainer::LlamaFactory] {
            let files = job(2).files(trainer, &plan);
            let readme = file(&files, "README.md");
            assert!(readme.contains("vision tokens") && readme.contains("augmentation") && readme.contains("time limit"), "{readme}");
        }
    }

    #[test]
    fn a_whole_model_is_spread_and_an_adapter_copied() {
        let whole = Plan { lora: None, ..Plan::lora() };
        assert!(file(&job(4).files(Trainer::Trl, &whole), "accelerate.yaml").contains("FSDP"));
        assert!(file(&job(4).files(Trainer::Trl, &Plan::lora()), "accelerate.yaml").contains("MULTI_GPU"));
        let files = job(4).files(Trainer::LlamaFactory, &whole);
        assert!(file(&files, "train.yaml").contains("deepspeed: \"zero3.json\"") && file(&files, "zero3.json").contains("\"stage\": 3"));
        assert!(file(&files, "launch.sh").contains("FORCE_TORCHRUN=1 NPROC_PER_NODE=4"));
        let lora = Plan { lora: Some(LoraPlan { vision: true, ..LoraPlan::default() }), ..Plan::lora() };
        let files = job(4).files(Trainer::LlamaFactory, &lora);
        let yaml = file(&files, "train.yaml");
        assert!(yaml.contains("freeze_vision_tower: false") && yaml.contains("cutoff_len: 1792") && !yaml.contains("deepspeed"), "{yaml}");
    }
}
