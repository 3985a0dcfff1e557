import CMPI
import Glibc

/// MPI between its initialisation and its end, once in a process.
///
/// Every call into MPI is made from the thread that made the environment. `exit` runs no `deinit`:
/// call `finalize` before it, and after it nothing of MPI.
package final class MPIEnvironment {
  /// The ranks of the job, apart from any other traffic in it.
  package let communicator: MPICommunicator
  /// E.g. `Open MPI v4.1.4`.
  package let libraryVersion: String

  package init() throws(MPIError) {
    SingleCopy.choose()
    var provided: Int32 = 0
    try check("MPI_Init_thread", cmpi_init_thread(cmpi_thread_funneled, &provided))
    guard provided >= cmpi_thread_funneled else {
      throw MPIError(
        call: "MPI_Init_thread",
        message: "this MPI cannot be used by a program with threads (MPI_THREAD_FUNNELED)")
    }
    communicator = try MPICommunicator()
    libraryVersion = try Self.loadedVersion
  }

  /// Of the library that this process has loaded, e.g. `Open MPI v4.1.4`; known without MPI_Init.
  package static var loadedVersion: String {
    get throws(MPIError) {
      var text = [CChar](repeating: 0, count: Int(cmpi_max_library_version_string) + 1)
      var length: Int32 = 0
      try check("MPI_Get_library_version", cmpi_library_version(&text, &length))
      return String(string(text, length: length).prefix { $0 != "," })
    }
  }

  /// Of the headers that the program was compiled with, e.g. `4.1.4`.
  package static var headerVersion: String {
    "\(cmpi_header_major).\(cmpi_header_minor).\(cmpi_header_release)"
  }

  /// Whether the system lets ranks read each other's memory, tried on this process's own.
  package static var permitsSingleCopy: Bool { SingleCopy.isPermitted }

  /// Ends MPI on this rank; returns when every rank has come this far.
  package func finalize() throws(MPIError) {
    try communicator.free()
    try check("MPI_Finalize", cmpi_finalize())
  }

  /// Ends the whole job with `code` (1…125), from any thread, whatever other ranks are doing.
  package static func abort(code: Int32) -> Never {
    fflush(nil)
    _ = cmpi_abort(code)
    _exit(code)
  }

  /// Whether this process was started by mpirun or by a Slurm step with PMIx, so that MPI will
  /// find its other ranks.
  package static var isUnderMPIRun: Bool {
    (["OMPI_COMM_WORLD_SIZE", "PMIX_RANK"] as [String]).contains { name in getenv(name) != nil }
  }
}
