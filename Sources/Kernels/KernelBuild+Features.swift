import CKernelBuild

extension KernelBuild {
  /// What of an x86-64 CPU the compiler was allowed to use in this room: bits in the order of
  /// Sources/CKernelBuild/shim.h. A constant, so that asking runs nothing that the CPU may lack.
  package static var features: UInt64 { kernel_build_features() }

  /// Columns of a panel of the products: with the paths what decides how sums are cut, and so their
  /// bits.
  package static var panelWidth: Int { Panels.width }
}
