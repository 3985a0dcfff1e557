/* A target of C needs a source; the functions are Swift's, in the target Inference. */
#include "repvgg.h"
