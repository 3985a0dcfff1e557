import Glibc

/// `repvgg doctor`: what a run needs of this machine, each with the mend where it is missing.
///
/// A check is a property that looks at `Surroundings` and nothing else of the system that a test
/// could not hand in; the file `Doctor+Subject.swift` holds those of one subject.
package struct Doctor {
  package struct Finding: Sendable, Codable {
    package var name: String
    package var value: String
    /// One line that says what to do; nil where all is well.
    package var mend: String?
    /// The mend is advice: a run works without.
    package var isAdvice = false

    package var isFault: Bool { mend != nil && !isAdvice }

    static func good(_ name: String, _ value: String) -> Finding {
      Finding(name: name, value: value)
    }

    /// `mend`: nil where there is no fault after all.
    static func fault(_ name: String, _ value: String, _ mend: String?) -> Finding {
      Finding(name: name, value: value, mend: mend)
    }

    static func advice(_ name: String, _ value: String, _ mend: String?) -> Finding {
      Finding(name: name, value: value, mend: mend, isAdvice: mend != nil)
    }
  }

  /// The MPI that the program was compiled for and found.
  package struct Library: Sendable {
    /// As the loaded library says: `Open MPI v4.1.4`.
    package var name: String
    /// Of the headers: `4.1.4`.
    package var headers: String
    /// Whether this system lets a process read another's memory (`process_vm_readv`).
    package var permitsSingleCopy: Bool

    package init(name: String, headers: String, permitsSingleCopy: Bool) {
      self.name = name
      self.headers = headers
      self.permitsSingleCopy = permitsSingleCopy
    }

    /// `4.1.4` of `Open MPI v4.1.4`.
    var version: String {
      name.split(separator: " ").last.map {
        $0.hasPrefix("v") ? String($0.dropFirst()) : String($0)
      }
        ?? ""
    }
  }

  let here: Surroundings
  let library: Library
  let settings: MCASettings
  let group: ControlGroup

  package init(_ surroundings: Surroundings, library: Library) {
    here = surroundings
    self.library = library
    settings = MCASettings(surroundings)
    group = ControlGroup(surroundings)
  }

  /// What every rank looks at.
  package func examine() -> [Finding] {
    [
      processor, blas, blasThreads,
      mpi, mpirun, launcher, user, signals, collectives, transports, network, settingsFiles,
      slots, oversubscription, binding, quota,
      singleCopy, sharedMemory, leftovers, temporaryDirectory,
      openFiles, processes, addressSpace, fileSize, processorTime, coreDumps,
      memory, clock, injection,
    ]
  }
}
