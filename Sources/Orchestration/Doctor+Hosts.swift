import Collectives
import Glibc
import Tensors

extension Doctor {
  /// Ranks of one host that find the same faults.
  package struct Report: Sendable {
    package var host: String
    package var ranks: [Int]
    /// Of the first of them.
    package var findings: [Finding]

    /// Advice is no fault.
    package var isWell: Bool { !findings.contains(where: \.isFault) }
  }

  /// What one rank sends.
  struct Message: Codable {
    var host: String
    var findings: [Finding]
    /// SHA-256 of the program's file.
    var program: String
    var cores: [Int]
    /// Of Linux: `user:[4026531837]`.
    var userNamespace: String
    var interfaces: [NetworkInterface]

    /// Memory that happens to be free differs from rank to rank; faults do not.
    func isSame(as other: Message) -> Bool {
      host == other.host && findings.map(\.mend) == other.findings.map(\.mend)
    }
  }

  /// The findings of all ranks, the same on every rank; the group of rank 0 comes first, with what
  /// rank 0 finds in `output` at its end.
  package func examine(over communicator: any Communicator, output: String) throws -> [Report] {
    var own = message()
    let ownOutput = communicator.rank == 0 ? examine(output: output) : []
    let atRoot = try communicator.gather(ownOutput.map(\.short))[0]
    own.findings = own.findings.map(\.short)
    let messages = Self.compared(try communicator.gather(own), singleCopy: settings)
    var groups: [(message: Message, ranks: [Int])] = []
    for (rank, message) in messages.enumerated() {
      if let group = groups.firstIndex(where: { $0.message.isSame(as: message) }) {
        groups[group].ranks.append(rank)
      } else {
        groups.append((message, [rank]))
      }
    }
    return groups.enumerated().map { index, group in
      Report(
        host: group.message.host, ranks: group.ranks,
        findings: group.message.findings + (index == 0 ? atRoot : []))
    }
  }

  private func message() -> Message {
    var target = [CChar](repeating: 0, count: 64)
    let length = readlink("/proc/self/ns/user", &target, target.count)
    return Message(
      host: Machine.hostName, findings: examine(), program: Self.programDigest,
      cores: here.allowedCores,
      userNamespace: String(
        decoding: target.prefix(max(0, length)).map { UInt8(bitPattern: $0) }, as: UTF8.self),
      interfaces: NetworkInterface.all)
  }

  /// Of the running program, whatever lies at its path by now; empty where it cannot be read.
  private static var programDigest: String {
    guard let file = fopen("/proc/self/exe", "re") else { return "" }
    defer { fclose(file) }
    var digest = SHA256Digest()
    var piece = [UInt8](repeating: 0, count: 1_048_576)
    while true {
      let count = fread(&piece, 1, piece.count, file)
      guard count > 0 else { return digest.finish() }
      piece.withUnsafeBytes { digest.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
    }
  }

  /// Modification time of a file in seconds; nil where it is missing.
  static func modificationTime(of path: String) -> Int? {
    var status = stat()
    return stat(path, &status) == 0 ? status.st_mtim.tv_sec : nil
  }

  /// `2026-03-01`, in UTC.
  static func day(_ seconds: Int) -> String {
    var (seconds, parts) = (time_t(seconds), tm())
    gmtime_r(&seconds, &parts)
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
  }

  /// With what only the ranks together show: other programs, shared cores, other user namespaces.
  static func compared(_ messages: [Message], singleCopy settings: MCASettings) -> [Message] {
    messages.map { own in
      var own = own
      let neighbours = messages.filter { $0.host == own.host }
      let first = messages[0]
      own.findings.append(
        .fault(
          "program", String(own.program.prefix(12)),
          own.program == first.program
            ? nil
            : "another build than rank 0's (\(first.program.prefix(12))): copy the same program to all "
              + "hosts"))
      let union = Set(neighbours.flatMap(\.cores)).count
      let isCrowded = neighbours.count > union && own.cores.count < Machine.onlineCores
      own.findings.append(
        .fault(
          "shared cores", "\(neighbours.count) of this host's ranks on \(union) of its cores",
          isCrowded && union < Machine.onlineCores
            ? "ranks share cores while others lie idle: give mpirun --bind-to none and start it without "
              + "taskset" : nil))
      let spaces = Set(neighbours.map(\.userNamespace)).count
      let copies = settings["btl_vader_single_copy_mechanism"]?.value != "none"
      own.findings.append(
        .fault(
          "user namespace", spaces == 1 ? "one" : "\(spaces) on this host",
          spaces > 1 && copies
            ? "ranks cannot read each other's memory: start all in one container, or set "
              + "OMPI_MCA_btl_vader_single_copy_mechanism=none" : nil))
      if messages.contains(where: { $0.host != first.host }) {
        own.findings.append(Self.commonNetwork(own, first))
      }
      return own
    }
  }

  /// Whether a host can talk to rank 0's.
  private static func commonNetwork(_ own: Message, _ first: Message) -> Finding {
    let ways = own.interfaces.filter(\.leadsToOthers)
    let shared = ways.filter { way in
      first.interfaces.contains { $0.leadsToOthers && way.shares(networkWith: $0) }
    }
    // A network may have routers; most have none.
    return .advice(
      "common network",
      (shared.isEmpty ? ways : shared).map(\.text).joined(separator: ", "),
      own.host == first.host || !shared.isEmpty
        ? nil
        : "no network is common with \(first.host): if the job does not start, name one that leads there "
          + "with launch/train --interface")
  }
}

extension Doctor.Finding {
  /// With a value and a mend of one line and at most 500 bytes: variables hold what somebody put there.
  fileprivate var short: Self {
    func cut(_ text: String) -> String {
      let line = text.utf8.map { $0 < 0x20 ? 0x20 : $0 }
      return line.count <= 500
        ? String(decoding: line, as: UTF8.self)
        : String(decoding: line.prefix(490), as: UTF8.self) + " …"
    }
    var finding = self
    finding.value = cut(value)
    finding.mend = mend.map(cut)
    return finding
  }
}
