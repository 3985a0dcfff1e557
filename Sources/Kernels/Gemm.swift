import COpenBLAS

/// C ← A·B + beta·C for row-major Float32 matrices, by OpenBLAS on the calling thread.
///
/// `a` is [m, k] (or [k, m] with `transposeA`), `b` [k, n] (or [n, k] with `transposeB`), `c`
/// [m, n]; `lda`, `ldb`, `ldc` are the distances between rows in elements. The bits of the result
/// depend on how a product is cut into calls, so callers keep their list of calls a function of
/// shapes alone.
package func gemm(
  transposeA: Bool = false, transposeB: Bool = false, m: Int, n: Int, k: Int,
  a: UnsafePointer<Float>, lda: Int, b: UnsafePointer<Float>, ldb: Int, beta: Float,
  c: UnsafeMutablePointer<Float>, ldc: Int
) {
  guard m > 0 && n > 0 else { return }
  cblas_sgemm(
    CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans,
    blasint(m), blasint(n), blasint(k), 1, a, blasint(lda), b, blasint(ldb), beta, c, blasint(ldc))
}

/// The OpenBLAS in force.
package enum BLAS {
  /// Threads are the worker pool's: each calls OpenBLAS, which must not start its own.
  package static func useOneThread() { openblas_set_num_threads(1) }

  /// Name of the kernel set that OpenBLAS chose or was told to use, e.g. `Zen`.
  package static var kernelName: String { String(cString: openblas_get_corename()) }

  /// Version and build options, e.g. `OpenBLAS 0.3.21 NO_AFFINITY …`.
  package static var configuration: String { String(cString: openblas_get_config()) }

  /// Threads that one call may use.
  package static var threads: Int { Int(openblas_get_num_threads()) }
}
