/// The program's version, as CHANGELOG names it.
enum Version {
  static let current = "0.1.0"
}
