import Foundation
import _TestSupport

// Does everything to a tiny job that must not hurt it, and looks whether it did. launch/campaign
// builds what is needed and starts it.

func list() {
  for row in Row.all {
    let needs = row.needs.map(\.rawValue).sorted().joined(separator: ", ")
    let work =
      switch row.work {
      case .covered(let files): "held by \(files.joined(separator: ", "))"
      case .trials(let short, let long, _): "\(short) of \(long) trials"
      }
    print("\(row.number)\t\(row.title)\t\(work)\(needs.isEmpty ? "" : "\tneeds \(needs)")")
  }
}

do {
  let arguments = Array(CommandLine.arguments.dropFirst())
  if arguments.first == StoreProcess.option {
    exit(StoreProcess.run(Array(arguments.dropFirst())))
  }
  let options = try Options(arguments)
  if options.list {
    list()
    exit(0)
  }
  say("seed \(options.seed), rotation \(options.rotation)")
  exit(try Campaign(options).run() ? 0 : 1)
} catch {
  let line = "fault-campaign: \(error)\n"
  _ = write(STDERR_FILENO, line, line.utf8.count)
  exit(1)
}
