// Open MPI's handles and constants are macros and casts that Swift cannot import: one thin function
// for each call, one struct for each handle. Every function returns MPI's own error code.
#pragma once
#include <mpi.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

// Reads memory of this very process by the system call with which ranks read each other's; bytes
// read, or -1.
static inline long cmpi_read_own_memory(void *source, void *target, unsigned long length) {
  struct iovec local = {target, length};
  struct iovec remote = {source, length};
  return syscall(SYS_process_vm_readv, getpid(), &local, 1UL, &remote, 1UL, 0UL);
}

typedef struct { MPI_Comm handle; } cmpi_communicator;
typedef struct { MPI_Request handle; } cmpi_request;

static const int cmpi_success = MPI_SUCCESS;
static const int cmpi_thread_funneled = MPI_THREAD_FUNNELED;
static const int cmpi_max_error_string = MPI_MAX_ERROR_STRING;
static const int cmpi_max_library_version_string = MPI_MAX_LIBRARY_VERSION_STRING;

static const int cmpi_header_major = OMPI_MAJOR_VERSION;
static const int cmpi_header_minor = OMPI_MINOR_VERSION;
static const int cmpi_header_release = OMPI_RELEASE_VERSION;

static inline int cmpi_init_thread(int required, int *provided) {
  return MPI_Init_thread(NULL, NULL, required, provided);
}

static inline int cmpi_finalize(void) { return MPI_Finalize(); }

static inline int cmpi_abort(int code) { return MPI_Abort(MPI_COMM_WORLD, code); }

static inline int cmpi_library_version(char *text, int *length) {
  return MPI_Get_library_version(text, length);
}

static inline int cmpi_error_string(int code, char *text, int *length) {
  return MPI_Error_string(code, text, length);
}

// A copy of the world whose calls return their errors.
static inline int cmpi_duplicate_world(cmpi_communicator *copy) {
  int code = MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
  if (code != MPI_SUCCESS) return code;
  code = MPI_Comm_dup(MPI_COMM_WORLD, &copy->handle);
  if (code != MPI_SUCCESS) return code;
  return MPI_Comm_set_errhandler(copy->handle, MPI_ERRORS_RETURN);
}

static inline int cmpi_free(cmpi_communicator *communicator) {
  return MPI_Comm_free(&communicator->handle);
}

static inline int cmpi_rank(cmpi_communicator communicator, int *rank) {
  return MPI_Comm_rank(communicator.handle, rank);
}

static inline int cmpi_size(cmpi_communicator communicator, int *size) {
  return MPI_Comm_size(communicator.handle, size);
}

static inline int cmpi_sum_double(double *values, int count, cmpi_communicator communicator) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_DOUBLE, MPI_SUM, communicator.handle);
}

static inline int cmpi_sum_float(float *values, int count, cmpi_communicator communicator) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_FLOAT, MPI_SUM, communicator.handle);
}

static inline int cmpi_maximum_int64(int64_t *values, int count, cmpi_communicator communicator) {
  return MPI_Allreduce(MPI_IN_PLACE, values, count, MPI_INT64_T, MPI_MAX, communicator.handle);
}

static inline int cmpi_start_sum_float(
    const float *source, float *destination, int count, cmpi_communicator communicator,
    cmpi_request *request) {
  return MPI_Iallreduce(
      source, destination, count, MPI_FLOAT, MPI_SUM, communicator.handle, &request->handle);
}

static inline int cmpi_test(cmpi_request *request, int *done) {
  return MPI_Test(&request->handle, done, MPI_STATUS_IGNORE);
}

static inline int cmpi_wait(cmpi_request *request) {
  return MPI_Wait(&request->handle, MPI_STATUS_IGNORE);
}

// Exchanges under way, each of an incoming and an outgoing message between two ranks: they are tested
// together, as every test may give the core away.
enum { cmpi_exchange_count = 9 };
typedef struct {
  // Incoming and outgoing by turns.
  MPI_Request handles[2 * cmpi_exchange_count];
  int received[cmpi_exchange_count];
} cmpi_exchanges;

static inline void cmpi_clear_exchanges(cmpi_exchanges *all) {
  for (int i = 0; i < 2 * cmpi_exchange_count; i++) all->handles[i] = MPI_REQUEST_NULL;
}

// Sizes are bytes.
static inline int cmpi_start_exchange(
    cmpi_exchanges *all, int place, const void *outgoing, int outgoing_size, void *incoming,
    int incoming_size, int partner, int tag, cmpi_communicator communicator) {
  all->received[place] = -1;
  int code = MPI_Irecv(
      incoming, incoming_size, MPI_BYTE, partner, tag, communicator.handle,
      &all->handles[2 * place]);
  if (code != MPI_SUCCESS) return code;
  return MPI_Isend(
      outgoing, outgoing_size, MPI_BYTE, partner, tag, communicator.handle,
      &all->handles[2 * place + 1]);
}

// `done`: messages that were found complete.
static inline int cmpi_test_exchanges(cmpi_exchanges *all, int *done) {
  int places[2 * cmpi_exchange_count];
  MPI_Status statuses[2 * cmpi_exchange_count];
  int code = MPI_Testsome(2 * cmpi_exchange_count, all->handles, done, places, statuses);
  if (code != MPI_SUCCESS && code != MPI_ERR_IN_STATUS) return code;
  if (*done == MPI_UNDEFINED) *done = 0;
  int first = MPI_SUCCESS;
  for (int i = 0; i < *done; i++) {
    int own = code == MPI_SUCCESS ? MPI_SUCCESS : statuses[i].MPI_ERROR;
    if (own == MPI_SUCCESS && places[i] % 2 == 0) {
      own = MPI_Get_count(&statuses[i], MPI_BYTE, &all->received[places[i] / 2]);
    }
    if (first == MPI_SUCCESS) first = own;
  }
  return first;
}

// Whether both messages were found complete, and how many bytes had come in.
static inline int cmpi_exchange_is_over(const cmpi_exchanges *all, int place, int *received) {
  *received = all->received[place];
  return all->handles[2 * place] == MPI_REQUEST_NULL
      && all->handles[2 * place + 1] == MPI_REQUEST_NULL;
}

static inline int cmpi_broadcast(
    void *bytes, int count, int root, cmpi_communicator communicator) {
  return MPI_Bcast(bytes, count, MPI_BYTE, root, communicator.handle);
}

static inline int cmpi_gather(
    const void *bytes, int count, void *all, cmpi_communicator communicator) {
  return MPI_Allgather(bytes, count, MPI_BYTE, all, count, MPI_BYTE, communicator.handle);
}

static inline int cmpi_barrier(cmpi_communicator communicator) {
  return MPI_Barrier(communicator.handle);
}
