extension Failpoint.Name {
  /// As the environment and the fault campaign write it; empty in builds without failpoints, which
  /// hold none of these texts.
  package var rawValue: String {
    #if FAILPOINTS
      switch self {
      case .beforeMPI: "init.before_mpi"
      case .afterMPI: "init.after_mpi"
      case .dataScanned: "init.data_scanned"
      case .resumed: "init.resumed"
      case .batchTaken: "step.batch_taken"
      case .statistics: "step.statistics"
      case .forwardDone: "step.forward_done"
      case .bucketPosted: "step.bucket_posted"
      case .backwardDone: "step.backward_done"
      case .optimizerHalf: "step.optimizer_half"
      case .updated: "step.updated"
      case .ownGradient: "step.own_gradient"
      case .gradientBit: "step.gradient_bit"
      case .weightBit: "step.weight_bit"
      case .learningRate: "step.learning_rate"
      case .bucketSize: "step.bucket_size"
      case .temporaryCreated: "ckpt.tmp_created"
      case .fileHeaderWritten: "file.header_written"
      case .fileMidData: "file.mid_data"
      case .fileBeforeFsync: "file.before_fsync"
      case .fileAfterFsync: "file.after_fsync"
      case .beforeRename: "ckpt.before_rename"
      case .afterRename: "ckpt.after_rename"
      case .beforeDirectoryFsync: "ckpt.before_directory_fsync"
      case .afterDirectoryFsync: "ckpt.after_directory_fsync"
      case .beforePrune: "ckpt.before_prune"
      case .midPrune: "ckpt.mid_prune"
      case .evaluation: "end.evaluation"
      case .fuse: "end.fuse"
      case .beforeExport: "end.before_export"
      case .midExport: "end.mid_export"
      case .exported: "end.exported"
      case .ending: "end.finalize"
      }
    #else
      ""
    #endif
  }
}
