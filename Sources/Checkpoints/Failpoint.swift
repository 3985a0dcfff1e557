#if FAILPOINTS
  import Glibc
  import Synchronization
#endif

/// Named places at which a build with `-Xswiftc -DFAILPOINTS` can be made to die, so that tests
/// can kill a process at each stage of a save. Other builds compile them to nothing.
///
/// `REPVGG_FAILPOINT=ckpt.before_rename@3:kill9` dies at the third pass of that name; the actions
/// are `kill9`, `exit0` and `trap`. Names are never changed or reused. Here they are, in the order of
/// a save: `ckpt.tmp_created`; for each file `file.header_written`, `file.mid_data`,
/// `file.before_fsync`, `file.after_fsync`; `ckpt.before_rename`, `ckpt.after_rename`,
/// `ckpt.before_directory_fsync`, `ckpt.after_directory_fsync`; while one is removed
/// `ckpt.mid_prune`.
package enum Failpoint {
  #if FAILPOINTS
    private static let passes = Mutex<[String: Int]>([:])

    package static func pass(_ name: StaticString) {
      guard let setting = getenv("REPVGG_FAILPOINT").map({ String(cString: $0) }) else { return }
      let parts = setting.split(whereSeparator: { $0 == "@" || $0 == ":" })
      guard parts.count == 3, parts[0] == name.description else { return }
      let occurrence = passes.withLock { passes in
        passes[name.description, default: 0] += 1
        return passes[name.description]
      }
      guard occurrence == Int(parts[1]) else { return }
      switch parts[2] {
      case "kill9": kill(getpid(), SIGKILL)
      case "exit0": exit(0)
      default: fatalError("failpoint \(name)")
      }
    }
  #else
    @inline(__always)
    package static func pass(_ name: StaticString) {}
  #endif
}
