#!/usr/bin/env bash
# DVC: `dvc exp run -S` refuses a legal params.yaml in which a quoted text with a colon stands in braces.
#
# Guess: where DVC reads params.yaml, -S can change another value in it.
# Behaviour: -S writes the file anew by ruamel.yaml's round trip, which drops the quotes of "hub:tag" inside a flow
# mapping (YAML 1.2 needs none there); DVC then reads it by the C parser of ruamel.yaml.clib, where that is
# installed, which refuses a colon there: "YAML file structure is corrupted". The file is put back. In block style,
# and without ruamel.yaml.clib, all is well.
# Exits 0 while it is so, 1 once it has changed.
set -euo pipefail
folder=$(mktemp -d); trap 'rm -rf "$folder"' EXIT; cd "$folder"
"${PYTHON:-python3}" -m venv venv
venv/bin/pip install --quiet --quiet 'dvc==3.67.1' 'ruamel.yaml==0.19.1' 'ruamel.yaml.clib==0.2.15'
export PATH="$folder/venv/bin:$PATH" GIT_CONFIG_GLOBAL=/dev/null DVC_NO_ANALYTICS=1

try() {  # NAME, params.yaml on stdin: what DVC says of a parameter set by -S
  mkdir "$1"; cd "$1"; cat > params.yaml
  printf 'stages:\n  show:\n    cmd: cat params.yaml\n    params: [model]\n' > dvc.yaml
  git init --quiet .; dvc init --quiet
  git add --all; git -c user.name=a -c user.email=a@b.c commit --quiet --message a
  dvc stage list > /dev/null || { echo "$1: not readable before"; exit 1; }
  if dvc exp run -S model.size=2 > said.txt 2>&1; then echo "$1: fine"
  else echo "$1: $(grep -o "structure is corrupted" said.txt || tail -1 said.txt)"; fi
  cd ..
}

braces=$(printf 'model: {weights: "hub:tag", size: 1}\n' | try braces)
block=$(printf 'model:\n  weights: "hub:tag"\n  size: 1\n' | try block)
dvc --version; echo "$braces"; echo "$block"
[[ $braces == "braces: structure is corrupted" && $block == "block: fine" ]] || { echo "this has changed"; exit 1; }

# Seen on 2026-11-27:
# 3.67.1
# braces: structure is corrupted
# block: fine
