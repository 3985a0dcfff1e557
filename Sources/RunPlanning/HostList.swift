/// The hosts of a job, as `--hosts` names them: `a:4,b:4`, or a file with a line for each.
package struct HostList: Sendable, Equatable {
  package struct Host: Sendable, Equatable {
    package var name: String
    /// Ranks that it may hold; nil where nobody said.
    package var slots: Int?

    package init(name: String, slots: Int? = nil) {
      self.name = name
      self.slots = slots
    }
  }

  /// A mistake in the list, in words that name the mend.
  package struct Flaw: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
  }

  package static let mostSlots = 65_536

  /// At least one, each name once.
  package let hosts: [Host]

  package init(_ hosts: [Host]) throws(Flaw) {
    guard !hosts.isEmpty else { throw Flaw("no host is named; write host:slots,…") }
    var names: Set<String> = []
    for host in hosts where !names.insert(host.name).inserted {
      throw Flaw("host \(host.name) is named twice; give its slots once, as \(host.name):8")
    }
    self.hosts = hosts
  }

  /// Of `a:4,b:4` or `a,b`.
  package init(list: String) throws(Flaw) {
    var hosts: [Host] = []
    for item in list.split(separator: ",", omittingEmptySubsequences: false) {
      let parts = item.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
      let slots = parts.count > 1 ? try Self.slots(parts[1], in: item) : nil
      hosts.append(Host(name: try Self.name(parts[0], in: item), slots: slots))
    }
    try self.init(hosts)
  }

  /// Of a host file as mpirun reads it: `name slots=4`, and `#` before what is for people.
  package init(file text: String) throws(Flaw) {
    var hosts: [Host] = []
    let lines = text.split(omittingEmptySubsequences: false, whereSeparator: \.isNewline)
    for (number, line) in lines.enumerated() {
      let words = line.prefix { $0 != "#" }.split { $0 == " " || $0 == "\t" }
      guard let first = words.first else { continue }
      var host = Host(name: try Self.name(first, in: "line \(number + 1)"[...]))
      for word in words.dropFirst() {
        let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        switch parts[0] {
        case "slots" where parts.count == 2:
          host.slots = try Self.slots(parts[1], in: "line \(number + 1)"[...])
        // How far mpirun may go beyond the slots: never, here.
        case "max_slots", "max-slots": break
        default:
          throw Flaw("line \(number + 1): '\(word)' is not known; write `name slots=N`")
        }
      }
      hosts.append(host)
    }
    try self.init(hosts)
  }

  private static func name(_ text: Substring, in place: Substring) throws(Flaw) -> String {
    let isName =
      !text.isEmpty && text.utf8.count <= 253 && text.first != "-"
      && text.utf8.allSatisfy { byte in
        byte >= 0x30 && byte <= 0x39 || byte | 0x20 >= 0x61 && byte | 0x20 <= 0x7A
          || byte == 0x2D || byte == 0x2E || byte == 0x5F
      }
    guard isName else { throw Flaw("\(place): '\(text)' is no host name") }
    return String(text)
  }

  private static func slots(_ text: Substring, in place: Substring) throws(Flaw) -> Int {
    guard let slots = Int(text), (1...mostSlots).contains(slots) else {
      throw Flaw("\(place): '\(text)' is no number of slots, 1 to \(mostSlots)")
    }
    return slots
  }

  /// The ranks of each host, in blocks: ranks that are neighbours in the sum's tree share a host. By
  /// slots, the first hosts first; evenly where no host says how many it holds.
  package func blocks(ranks: Int) throws(Flaw) -> [Range<Int>] {
    guard hosts.contains(where: { $0.slots != nil }) else {
      return EvenCut(ranks, into: hosts.count).ranges
    }
    var blocks: [Range<Int>] = []
    var next = 0
    for host in hosts {
      // As mpirun has it: a name without a number is one slot.
      let end = min(ranks, next + (host.slots ?? 1))
      blocks.append(next..<end)
      next = end
    }
    guard next == ranks, ranks <= Self.mostSlots else {
      throw Flaw(
        "\(ranks) ranks do not fit into \(next) slots; ask for fewer --ranks or raise the slots")
    }
    return blocks
  }

  /// What `mpirun --host` is told so that it lays ranks out in these blocks.
  package func argument(ranks: Int) throws(Flaw) -> String {
    zip(hosts, try blocks(ranks: ranks)).filter { !$1.isEmpty }
      .map { "\($0.name):\($1.count)" }.joined(separator: ",")
  }

  /// Slots of all hosts; nil where none says how many it holds.
  package var slots: Int? {
    hosts.allSatisfy { $0.slots == nil } ? nil : hosts.reduce(0) { $0 + ($1.slots ?? 1) }
  }
}
