/* Inference with a RepVGG from C: load a weights file, run it, free it.
 *
 *   repvgg_model *model = repvgg_load("model-deploy.safetensors", NULL, error, sizeof error);
 *   repvgg_run(model, pixels, 1, logits);
 *   repvgg_free(model);
 *
 * Link with libRepVGG.so, which launch/build puts into .build/release. A model belongs to one thread
 * at a time; several models may run in several threads. Loading the first model tells OpenBLAS to use
 * one thread a call in the whole process: the library has threads of its own.
 */
#ifndef REPVGG_H
#define REPVGG_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct repvgg_model repvgg_model;

/* Zero for any of them is the default. */
typedef struct {
  int threads;    /* that compute together; default 1 */
  int batch;      /* images that are computed together at most, larger calls are cut; default 1 */
  int resolution; /* pixels of a side in place of the model's own */
} repvgg_options;

/* Reads deploy or training weights (safetensors or a PyTorch file, under the names of the published
 * code, timm or mmpretrain; training weights are fused) and, where they are, the names of the classes
 * in labels.txt beside them. NULL on failure, with one line in `error`, cut to `error_size` bytes with
 * its terminating zero; `error` may be NULL. `options` may be NULL. */
repvgg_model *repvgg_load(
    const char *path, const repvgg_options *options, char *error, size_t error_size);

/* What the model takes and gives. */
int repvgg_height(const repvgg_model *model);
int repvgg_width(const repvgg_model *model);
int repvgg_channels(const repvgg_model *model);
int repvgg_classes(const repvgg_model *model);

/* Name of a class in UTF-8, valid until repvgg_free; NULL where there is no such class. */
const char *repvgg_label(const repvgg_model *model, int label);

/* Logits of images: `logits` takes images x classes values. 0, or the program's exit code for what
 * went wrong and one line in repvgg_error; `logits` is then undefined.
 *
 * Pixels are [images][height][width][channels]: bytes, which are normalised as the model was trained,
 * or values that are normalised already. */
int repvgg_run(repvgg_model *model, const uint8_t *pixels, size_t images, float *logits);
int repvgg_run_normalised(
    repvgg_model *model, const float *values, size_t images, float *logits);

/* The same of one JPEG or PNG file, resized and cropped as in evaluation. */
int repvgg_run_file(repvgg_model *model, const char *path, float *logits);

/* What went wrong in the last call with this model that failed, valid until the next; never NULL. */
const char *repvgg_error(const repvgg_model *model);

/* Frees a model and all that was lent from it; NULL is nothing to free. */
void repvgg_free(repvgg_model *model);

#ifdef __cplusplus
}
#endif

#endif
