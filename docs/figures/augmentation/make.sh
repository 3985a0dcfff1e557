#!/usr/bin/env bash
# Draws the pictures of docs/augmentation.md anew: docs/figures/augmentation/make.sh [DIRECTORY]
# DIRECTORY keeps the scenes for another time. Needs the built program, Python, and for the padded crop
# Debian's package dataset-fashion-mnist.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../../.." && pwd)
program=${REPVGG:-$root/.build/release/repvgg}
scenes=${1:-$(mktemp -d)}

if [[ ! -d $scenes/train ]]; then python3 "$here/scenes.py" "$scenes"; fi

# Classes are numbered by their names.
balloon=0 boat=1 house=2 lighthouse=3

# show NAME OPTION...: one picture of the scenes. Without options a training image is squeezed to a
# square as a whole, so that each picture shows one augmentation alone.
show() {
  local name=$1
  shift
  "$program" data show "$here/figures.yaml" --set data.directory="$scenes" \
    --set data.crop_ratio='[1.3333333333333333, 1.3333333333333333]' --set data.crop_scale='[1, 1]' \
    --output "$here/$name.png" "$@" >/dev/null
}

show scenes --split test --samples $balloon,$boat,$house,$lighthouse --columns 4
show random-resized-crop --samples $house,$boat --repeat 6 \
  --set data.crop_scale='[0.08, 1]' --set data.crop_ratio='[0.75, 1.3333333333333333]'
show horizontal-flip --samples $boat --repeat 6 --set data.horizontal_flip=true
for policy in autoaugment_imagenet autoaugment_cifar10 randaugment trivialaugment; do
  show "${policy//_/-}" --samples $house,$balloon --repeat 5 --set data.augmentation=$policy
done
show random-erasing --samples $house --repeat 6 --set data.random_erasing=0.75
show mixup --samples $house,$boat --repeat 6 --set training.mixup_alpha=0.4
show cutmix --samples $house,$boat --repeat 6 --epoch 9 --set training.cutmix_alpha=1
show resolutions --samples $house --repeat 6 \
  --set 'data.resolutions={0: 48, 2: 72, 4: 96}'
"$program" data show "$root/configs/fashion-mnist.yaml" --samples 0,2 --repeat 6 --zoom 3 \
  --set data.crop_padding=4 --set data.horizontal_flip=false \
  --output "$here/padded-crop.png" >/dev/null
ls -l "$here"/*.png
