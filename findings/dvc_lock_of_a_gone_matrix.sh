#!/usr/bin/env bash
# DVC: dvc.lock keeps the entries of a stage that lost its matrix, beside the new one of the same output.
#
# Guess: after `dvc repro`, dvc.lock lists the stages of dvc.yaml, and a path is the output of one of them.
# Behaviour: the entries train@a and train@b stay when `train` loses its matrix and writes their folder itself.
# The lock then records out/a.txt twice, with the old bytes by train@a and with the new ones inside out/ by
# train; neither `dvc repro`, nor `dvc commit --force`, nor `dvc gc --workspace` drops the old entries, though gc
# does drop their bytes from the cache. So who asks the lock which stage made a file must read dvc.yaml, too.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'dvc==3.67.1'
export PATH="$folder/venv/bin:$PATH" GIT_CONFIG_GLOBAL=/dev/null DVC_NO_ANALYTICS=1
mkdir project; cd project; git init --quiet .; dvc init --quiet
cat > dvc.yaml <<'YAML'
stages:
  train:
    matrix: {name: [a, b]}
    cmd: mkdir -p out && echo old ${item.name} > out/${item.name}.txt
    outs: ["out/${item.name}.txt"]
YAML
dvc repro --quiet
old=$(md5sum out/a.txt | cut -d' ' -f1)
cat > dvc.yaml <<'YAML'
stages:
  train:
    cmd: mkdir -p out && echo new a > out/a.txt && echo new b > out/b.txt
    outs: [out]
YAML
dvc repro --quiet; dvc commit --quiet --force; dvc gc --quiet --workspace --force
stages=$(grep -E '^  train' dvc.lock | tr -d ' \n')
recorded=$(grep -c "md5: $old" dvc.lock || true)
kept=$(find .dvc/cache -name "${old:2}" | wc -l)
dvc --version; echo "stages in the lock: $stages"; echo "old bytes: recorded $recorded, in the cache $kept"
[[ $stages == "train@a:train@b:train:" && $recorded == 1 && $kept == 0 ]] || { echo "this has changed"; exit 1; }

# Seen on 2026-11-28:
# 3.67.1
# stages in the lock: train@a:train@b:train:
# old bytes: recorded 1, in the cache 0
