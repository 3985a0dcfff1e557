import Orchestration
import Reporting
import RunPlanning

/// `repvgg hosts HOSTS`: which ranks each host gets.
enum HostsCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let all = try HostList(argument: invocation.positionals[0])
    let asked = invocation.integer("--ranks") ?? all.slots ?? all.hosts.count
    let (list, ranks) = try remaining(all, ranks: asked, invocation.text("--without"))
    do {
      let blocks = try list.blocks(ranks: ranks)
      let argument = try list.argument(ranks: ranks)
      if invocation.flag("--json") {
        Speaker.say(json(list, blocks, argument).text())
      } else {
        Speaker.say(lines(list, blocks).joined(separator: "\n"))
      }
    } catch {
      throw JobFailure(.configuration, "\(invocation.positionals[0]): \(error)")
    }
    return .done
  }

  /// Without those that do not answer: as many ranks as before where they fit, else the largest power
  /// of two that does, with which the bits stay what they are.
  private static func remaining(_ list: HostList, ranks: Int, _ without: String?) throws -> (
    HostList, ranks: Int
  ) {
    let names = Set((without ?? "").split(separator: ",").map(String.init))
    if let name = names.first(where: { name in !list.hosts.contains { $0.name == name } }) {
      throw JobFailure(.usage, "--without: '\(name)' is none of the hosts")
    }
    guard !names.isEmpty else { return (list, ranks) }
    // A name without a number stays what it is beside those that have one.
    let hosts = list.hosts.map { host in
      HostList.Host(name: host.name, slots: host.slots ?? (list.slots == nil ? nil : 1))
    }
    guard let rest = try? HostList(hosts.filter { !names.contains($0.name) }) else {
      throw JobFailure(.missingInput, "no host is left: none of the list answers")
    }
    guard let slots = rest.slots, slots < ranks else { return (rest, ranks) }
    return (rest, 1 << (Int.bitWidth - 1 - slots.leadingZeroBitCount))
  }

  private static func lines(_ list: HostList, _ blocks: [Range<Int>]) -> [String] {
    zip(list.hosts, blocks).map { host, ranks in
      switch ranks.count {
      case 0: "none on \(host.name)"
      case 1: "rank \(ranks.lowerBound) on \(host.name)"
      default: "ranks \(ranks.lowerBound) to \(ranks.upperBound - 1) on \(host.name)"
      }
    }
  }

  private static func json(
    _ list: HostList, _ blocks: [Range<Int>], _ argument: String
  ) -> JSONValue {
    .object([
      ("ranks", .int(blocks.last?.upperBound ?? 0)), ("mpirun_hosts", .string(argument)),
      ("most_ranks_on_a_host", .int(blocks.map(\.count).max() ?? 0)),
      (
        "hosts",
        .array(
          zip(list.hosts, blocks).map { host, ranks in
            .object([
              ("host", .string(host.name)), ("first_rank", .int(ranks.lowerBound)),
              ("ranks", .int(ranks.count)),
            ])
          })
      ),
    ])
  }
}
