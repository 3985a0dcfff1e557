// OpenBLAS's CBLAS interface, and the three functions that say which build of it is in force.
#include <cblas.h>
