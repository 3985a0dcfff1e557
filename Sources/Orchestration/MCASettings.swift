/// Parameters of Open MPI that somebody has set, as it looks them up: the environment (mpirun's
/// `--mca` arrives there too) before the user's file before the system's.
struct MCASettings {
  struct Setting {
    var value: String
    /// Nil for the environment, else the file.
    var file: String?
  }

  private static let prefix = "OMPI_MCA_"
  private var found: [String: Setting] = [:]
  /// Files that were read, the stronger first, with the names that each sets.
  let files: [(path: String, names: [String])]

  init(_ here: Doctor.Surroundings) {
    var paths = ["/etc/openmpi/openmpi-mca-params.conf"]
    if let home = here.variables["HOME"], home.hasPrefix("/") {
      paths.append("\(home)/.openmpi/mca-params.conf")
    }
    var files: [(path: String, names: [String])] = []
    for (index, path) in paths.enumerated() {
      // The home directory is the user's own: no root stands before it.
      var place = here
      if index > 0 { place.root = "" }
      guard let text = place.text(path) else { continue }
      let pairs = Self.pairs(text)
      for (name, value) in pairs { found[name] = Setting(value: value, file: path) }
      files.insert((path, pairs.map(\.0)), at: 0)
    }
    self.files = files
    for (name, value) in here.variables where name.hasPrefix(Self.prefix) {
      found[String(name.dropFirst(Self.prefix.count))] = Setting(value: value, file: nil)
    }
  }

  subscript(name: String) -> Setting? { found[name] }

  /// Names that are set, in order.
  var names: [String] { found.keys.sorted() }

  func isOn(_ name: String) -> Bool {
    ["1", "true", "t", "yes", "y", "enabled"].contains(found[name]?.value.lowercased() ?? "")
  }

  /// What takes a setting away: `unset OMPI_MCA_x`, or `remove x from FILE`.
  func removal(_ name: String) -> String {
    guard let setting = found[name], let file = setting.file else {
      return "unset \(Self.prefix)\(name) (or leave out --mca \(name))"
    }
    return "remove \(name) from \(file)"
  }

  /// Lines `name = value`; `#` begins a comment.
  private static func pairs(_ text: String) -> [(String, String)] {
    text.split(separator: "\n").compactMap { line in
      let code = line.prefix { $0 != "#" }
      guard let equals = code.firstIndex(of: "=") else { return nil }
      let name = trimmed(code[..<equals])
      return name.isEmpty ? nil : (name, trimmed(code[code.index(after: equals)...]))
    }
  }

  private static func trimmed(_ text: Substring) -> String {
    let isBlank: (Character) -> Bool = { $0.isWhitespace || $0 == "\"" }
    var text = text.drop(while: isBlank)
    while let last = text.last, isBlank(last) { text.removeLast() }
    return String(text)
  }
}
