import Glibc

/// Open MPI as it lies here and as it is set.
extension Doctor {
  /// Older ones overflow counts in the collectives that the program uses, and were never tried.
  static let oldestMPI = "4.1.4"

  var mpi: Finding {
    let value =
      "\(library.name), built with headers of \(library.headers)"
      + (here.isLaunched ? "" : ", not started by mpirun: one rank")
    func release(_ version: String) -> [Int] {
      version.split(separator: ".").compactMap { Int($0) }
    }
    if !library.name.hasPrefix("Open MPI") {
      return .fault(
        "MPI", value, "the loaded libmpi is not Open MPI: take it out of LD_LIBRARY_PATH")
    }
    if release(library.version).lexicographicallyPrecedes(release(Self.oldestMPI)) {
      return .fault(
        "MPI", value, "Open MPI \(Self.oldestMPI) or newer is needed: install it and launch/build")
    }
    return .fault(
      "MPI", value,
      library.version == library.headers
        ? nil
        : "library and headers differ: launch/build again, or put the library of \(library.headers) "
          + "first in LD_LIBRARY_PATH")
  }

  var mpirun: Finding {
    let places = (here.variables["PATH"] ?? "").split(separator: ":")
    guard let found = places.map({ String($0) + "/mpirun" }).first(where: { access($0, X_OK) == 0 })
    else {
      return .fault(
        "mpirun", "not on PATH", "apt-get install openmpi-bin, or run launch/install")
    }
    // Whoever was started by one need not ask.
    guard !here.isLaunched else { return .good("mpirun", found) }
    let said = Self.output("timeout 10 '\(found.replacing("'", with: "'\\''"))' --version 2>&1")
    let version = said.split(separator: " ").last.map(String.init) ?? ""
    guard said.contains("(Open MPI)") else {
      return .fault(
        "mpirun", "\(found): \(said.isEmpty ? "says nothing" : String(said.prefix(60)))",
        "this mpirun is not Open MPI's: put that first on PATH, or name it (Debian: mpirun.openmpi)"
      )
    }
    return .fault(
      "mpirun", "\(found), \(version)",
      version == library.version
        ? nil
        : "mpirun and the library \(library.version) differ: put the mpirun of the library first on PATH"
    )
  }

  /// What of a command's lines names its version, or the first of them.
  private static func output(_ command: String) -> String {
    guard let pipe = popen(command, "re") else { return "" }
    defer { pclose(pipe) }
    var (piece, lines) = ([CChar](repeating: 0, count: 512), [String]())
    while lines.count < 100, fgets(&piece, Int32(piece.count), pipe) != nil {
      lines.append(
        String(
          decoding: piece.prefix { $0 != 0 && $0 != 10 }.map { UInt8(bitPattern: $0) },
          as: UTF8.self))
    }
    return lines.first { $0.contains("(Open MPI)") } ?? lines.first ?? ""
  }

  /// Another MPI's launcher starts processes each of which would train alone.
  var launcher: Finding {
    if here.isLaunched { return .good("launcher", "mpirun or Slurm with PMIx") }
    let foreign = ["PMI_SIZE", "MPI_LOCALNRANKS", "SLURM_STEP_NUM_TASKS"].first {
      Int(here.variables[$0] ?? "") ?? 1 > 1
    }
    return .fault(
      "launcher", foreign.map { "\($0)=\(here.variables[$0] ?? "")" } ?? "none",
      foreign == nil
        ? nil
        : "another launcher started this, and each rank believes to be alone: start it with the mpirun "
          + "of Open MPI, or srun --mpi=pmix")
  }

  var user: Finding {
    guard here.isSuperuser else { return .good("user", "not root") }
    let names = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"]
    let isAllowed = here.isLaunched || names.allSatisfy { here.variables[$0] == "1" }
    return .fault(
      "user", "root\(isAllowed ? ", allowed to Open MPI" : "")",
      isAllowed
        ? nil
        : "mpirun refuses root: set OMPI_ALLOW_RUN_AS_ROOT=1 and OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1, "
          + "or use launch/train")
  }

  /// What mpirun passes on. TERM it never does: it ends the job.
  var signals: Finding {
    let names = ["ess_base_forward_signals", "ess_hnp_forward_signals"]
    let name = names.first { settings[$0] != nil } ?? names[0]
    guard let value = settings[name]?.value, value.lowercased() == "none" else {
      return .good("signals", "mpirun forwards USR1, USR2, TSTP, CONT, ABRT, ALRM")
    }
    return .fault(
      "signals", "mpirun forwards none",
      "\(settings.removal(name)): SIGUSR1 to mpirun could not save and stop the job")
  }

  /// Settings that choose how sums are made: other trees give other bits, and some algorithms of
  /// 4.1.4 are wrong (open-mpi/ompi #9385).
  var collectives: Finding {
    func isForced(_ name: String) -> Bool {
      if name == "coll_tuned_use_dynamic_rules" { return settings.isOn(name) }
      if name == "coll" || name == "coll_tuned_dynamic_rules_filename" { return true }
      if name == "coll_han_priority" || name == "coll_adapt_priority" {
        return settings[name]?.value != "0"
      }
      let isAlgorithm = name.hasSuffix("_algorithm") && settings[name]?.value != "0"
      return isAlgorithm && (name.hasPrefix("coll_tuned_") || name.hasPrefix("coll_libnbc_"))
    }
    let forced = settings.names.filter { $0.hasPrefix("coll") && isForced($0) }
    return .fault(
      "collectives",
      forced.isEmpty
        ? "Open MPI's own choice"
        : forced.map { "\($0)=\(settings[$0]?.value ?? "")" }.joined(separator: ", "),
      forced.isEmpty
        ? nil
        : forced.map(settings.removal).joined(separator: " and ")
          + ": forced algorithms change the bits of sums or are wrong")
  }

  /// Which components carry messages.
  var transports: Finding {
    guard let setting = settings["btl"]?.value, !setting.isEmpty else { return interfaces }
    let excludes = setting.hasPrefix("^")
    let listed = Set(setting.drop { $0 == "^" }.split(separator: ",").map(String.init))
    func works(_ name: String) -> Bool { listed.contains(name) != excludes }
    let shared = works("vader") || listed.contains("sm") && !excludes
    let value = "btl = \(setting)"
    if !works("self") || !(shared || works("tcp")) {
      return .fault(
        "transports", value,
        "\(settings.removal("btl")): MPI_Init fails without self and one of vader and tcp")
    }
    if !shared {
      return .advice(
        "transports", value,
        "\(settings.removal("btl")): ranks of one host are slower without vader")
    }
    return interfaces
  }

  private var interfaces: Finding {
    let name = "btl_tcp_if_include"
    let known = NetworkInterface.all
    // Networks may stand there too, as 10.0.0.0/8.
    let listed = (settings[name]?.value ?? "").split(separator: ",").map(String.init)
    let missing = listed.filter { !$0.contains("/") && !known.map(\.name).contains($0) }
    return .fault(
      "transports",
      settings["btl"].map { "btl = \($0.value)" } ?? "Open MPI's own choice",
      missing.isEmpty
        ? nil
        : "\(settings.removal(name)): there is no interface \(missing.joined(separator: ", ")) here"
    )
  }

  /// mpirun talks to its ranks over TCP, on one host too.
  var network: Finding {
    let up = NetworkInterface.all.filter(\.isUp).map(\.text)
    return .fault(
      "network", up.isEmpty ? "no interface is up" : up.joined(separator: ", "),
      up.isEmpty ? "mpirun cannot reach its ranks, even of one host: ip link set lo up" : nil)
  }

  /// Files of Open MPI that set something beside what Debian's own sets.
  var settingsFiles: Finding {
    let usual: Set<String> = ["btl_base_warn_component_unused", "mtl", "btl", "pml", "osc"]
    let unusual = settings.files.map { file in
      (
        file.path,
        file.path.hasPrefix("/etc/") ? file.names.filter { !usual.contains($0) } : file.names
      )
    }.filter { !$0.1.isEmpty }
    return .advice(
      "MCA files",
      settings.files.isEmpty ? "none" : settings.files.map(\.path).joined(separator: ", "),
      unusual.isEmpty
        ? nil
        : unusual.map { "\($0.0) sets \($0.1.joined(separator: ", "))" }.joined(separator: "; ")
          + ": remove what the other hosts do not set, or where nobody knows why it is there")
  }
}
