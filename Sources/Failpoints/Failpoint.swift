#if FAILPOINTS
  import Glibc
  import Synchronization
#endif

/// Named places at which a build with `-Xswiftc -DFAILPOINTS` can be made to fail, so that the fault
/// campaign strikes a process at each stage of its work. Other builds compile them to nothing.
///
/// `REPVGG_FAILPOINT=ckpt.before_rename@3:kill9` dies at the third pass of that name; `@3+` means the
/// third and every later one, `@3#1` only on rank 1. Several are separated by `;`. The actions are
/// `kill9`, `exit0`, `trap` (a Swift trap), `stop` (SIGSTOP), `term` (SIGTERM), `sleep=SECONDS`,
/// and for places that ask for a value, `value=NUMBER`.
package enum Failpoint {
  /// Every name there is. Names are never changed or reused.
  package enum Name: CaseIterable, Sendable {
    // A job begins.
    case beforeMPI
    case afterMPI
    case dataScanned
    case resumed
    // A step, in its order.
    case batchTaken
    case statistics
    case forwardDone
    case bucketPosted
    case backwardDone
    case optimizerHalf
    case updated
    /// Value: added to the first element of this rank's own gradient, before it is reduced.
    case ownGradient
    /// Value: the bit that is flipped in an element of the reduced gradient, counted over the arena.
    case gradientBit
    /// Value: the bit that is flipped in the weights after the update, counted over the arena.
    case weightBit
    /// Value: factor on the learning rate.
    case learningRate
    /// Value: the element count of the next bucket is less by this much.
    case bucketSize
    // A checkpoint, in the order of a save.
    case temporaryCreated
    case fileHeaderWritten
    case fileMidData
    case fileBeforeFsync
    case fileAfterFsync
    case beforeRename
    case afterRename
    case beforeDirectoryFsync
    case afterDirectoryFsync
    case beforePrune
    case midPrune
    // The end of a job.
    case evaluation
    case fuse
    case beforeExport
    case midExport
    case exported
    case ending
  }

  #if FAILPOINTS
    /// To be passed by whatever reaches the place.
    package static func pass(_ name: Name) {
      switch setting(of: name)?.action {
      case nil: break
      case "kill9": kill(getpid(), SIGKILL)
      case "exit0": exit(0)
      case "stop": raise(SIGSTOP)
      case "term": kill(getpid(), SIGTERM)
      case .some(let action) where action.hasPrefix("sleep="):
        usleep(UInt32((Double(action.dropFirst(6)) ?? 0) * 1e6))
      default: fatalError("failpoint \(name.rawValue)")
      }
    }

    /// What the place is to use, where it is reached the right number of times.
    package static func value(_ name: Name) -> Double? {
      guard let action = setting(of: name)?.action, action.hasPrefix("value=") else { return nil }
      return Double(action.dropFirst(6))
    }

    private struct Setting: Sendable {
      var name: Substring
      var occurrence: Int
      var isSticky: Bool
      var rank: Substring?
      var action: Substring

      /// `NAME@COUNT[+][#RANK]:ACTION`; anything else traps: a campaign that strikes nowhere proves
      /// nothing.
      init(_ text: Substring) {
        let parts = text.split(separator: ":", maxSplits: 1)
        let place = parts[0].split(separator: "@", maxSplits: 1)
        let counted = place[1].split(separator: "#", maxSplits: 1)
        guard parts.count == 2, Name.allCases.contains(where: { $0.rawValue == place[0] }),
          let occurrence = Int(counted[0].prefix { $0 != "+" })
        else { fatalError("REPVGG_FAILPOINT: \(text)") }
        name = place[0]
        self.occurrence = occurrence
        isSticky = counted[0].hasSuffix("+")
        rank = counted.count > 1 ? counted[1] : nil
        action = parts[1]
      }
    }

    private static let settings: [Setting] =
      (environment("REPVGG_FAILPOINT") ?? "").split(separator: ";").map { Setting($0) }.filter {
        $0.rank == nil || String($0.rank ?? "") == environment("OMPI_COMM_WORLD_RANK") ?? "0"
      }

    private static let passes = Mutex<[Name: Int]>([:])

    private static func setting(of name: Name) -> Setting? {
      guard settings.contains(where: { $0.name == name.rawValue }) else { return nil }
      let count = passes.withLock { passes in
        passes[name, default: 0] += 1
        return passes[name] ?? 0
      }
      return settings.first {
        $0.name == name.rawValue
          && (count == $0.occurrence || ($0.isSticky && count > $0.occurrence))
      }
    }

    private static func environment(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }
    }
  #else
    @inline(__always)
    package static func pass(_ name: Name) {}

    @inline(__always)
    package static func value(_ name: Name) -> Double? { nil }
  #endif
}
