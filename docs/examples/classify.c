/* Classifies image files with a RepVGG that was trained and fused by repvgg.
 *
 *   cc classify.c -I Sources/CInference/include -L .build/release -lRepVGG \
 *     -Wl,-rpath,"$PWD/.build/release" -o classify
 *   ./classify runs/quickstart/artifacts/quickstart-deploy.safetensors picture.png
 */
#include <repvgg.h>

#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv) {
  if (argc < 3) {
    fprintf(stderr, "usage: %s MODEL IMAGE...\n", argv[0]);
    return 64;
  }
  char error[1024];
  repvgg_model *model = repvgg_load(argv[1], NULL, error, sizeof error);
  if (model == NULL) {
    fprintf(stderr, "%s\n", error);
    return 1;
  }
  int classes = repvgg_classes(model);
  float *logits = malloc(classes * sizeof *logits);
  int status = 0;
  for (int image = 2; image < argc; image++) {
    if (repvgg_run_file(model, argv[image], logits) != 0) {
      fprintf(stderr, "%s\n", repvgg_error(model));
      status = 1;
      continue;
    }
    int best = 0;
    for (int label = 1; label < classes; label++) {
      if (logits[label] > logits[best]) best = label;
    }
    printf("%s: %s (logit %.4f)\n", argv[image], repvgg_label(model, best), logits[best]);
  }
  free(logits);
  repvgg_free(model);
  return status;
}
