import Checkpoints
import ImageData
import Orchestration
import Reporting

/// `repvgg data show CONFIG`: a contact sheet of what the network sees, and a list of it.
enum DataShowCommand {
  static func run(_ invocation: Invocation) throws -> ExitCode {
    let configuration = invocation.positionals[1]
    let preview = try DataPreview(
      configuration: configuration, overrides: invocation.texts("--set"),
      try request(invocation))
    let split = invocation.text("--split") ?? "train"
    let output = invocation.text("--output") ?? "\(preview.name)-\(split).png"
    let isPage = try self.isPage(output)
    try OutputFile.require(
      output, isFreeOr: isPage ? "page of repvgg data show" : "contact sheet of repvgg data show",
      isOwn: isPage ? ContactSheetPage.isOwn : ContactSheet.isOwn)
    let outcome = try preview.run()
    let bytes =
      isPage
      ? Array(try ContactSheetPage(outcome, title: title(preview.name, outcome)).html().utf8)
      : try outcome.sheet.png(outcome.images)
    try AtomicFile.write(path: output, bytes: bytes)
    Speaker.say(
      invocation.flag("--json")
        ? json(outcome, output).text() : text(outcome, output, title(preview.name, outcome)))
    return .done
  }

  private static func request(_ invocation: Invocation) throws -> DataPreview.Request {
    var request = DataPreview.Request()
    request.isTraining = invocation.text("--split") != "test"
    request.samples = try invocation.text("--samples").map(samples)
    request.count = invocation.integer("--count")
    request.epoch = invocation.integer("--epoch") ?? 0
    request.repeats = invocation.integer("--repeat") ?? 1
    request.columns = invocation.integer("--columns")
    request.zoom = invocation.integer("--zoom") ?? 1
    return request
  }

  private static func samples(_ text: String) throws -> [Int] {
    let parts = text.split(separator: ",", omittingEmptySubsequences: false)
    let numbers = parts.compactMap { part in part.allSatisfy(\.isNumber) ? Int(part) : nil }
    guard numbers.count == parts.count else {
      throw JobFailure(
        .usage,
        "--samples '\(text)' is not a list of whole numbers such as 0,17,4; "
          + "see repvgg data --help")
    }
    return numbers
  }

  private static func isPage(_ output: String) throws -> Bool {
    let name = output.lowercased()
    if name.hasSuffix(".html") { return true }
    guard name.hasSuffix(".png") else {
      throw JobFailure(
        .usage, "--output '\(output)' ends neither in .png nor in .html; see repvgg data --help")
    }
    return false
  }

  private static func title(_ name: String, _ outcome: DataPreview.Outcome) -> String {
    let first = outcome.images.first?.size
    let size = first.map { ", \($0.height) x \($0.width)" } ?? ""
    return "\(name): \(outcome.images.count) \(outcome.subject)\(size)"
  }

  // MARK: Text

  private static func text(
    _ outcome: DataPreview.Outcome, _ output: String, _ title: String
  ) -> String {
    let isMixed = outcome.images.contains { $0.mixture != nil }
    var columns: [TextTable.Column] = [
      .right("sample"), .right("epoch"), .left("seen"), .left("class"),
    ]
    if isMixed { columns.append(.left("mixed with")) }
    columns.append(.left("from"))
    var table = TextTable(columns)
    for image in outcome.images {
      var cells = [
        "\(image.sample)", "\(image.epoch)", "\(image.size.height) x \(image.size.width)",
        printable(outcome.name(ofClass: image.label)),
      ]
      if isMixed { cells.append(image.mixture.map { printable(outcome.text(of: $0)) } ?? "") }
      cells.append(printable(image.name))
      table.append(cells)
    }
    let notes = outcome.notes.map { "note: \(printable($0))\n" }.joined()
    return "\(title)\n\n\(table.text)\n\(notes)\(output): \(outcome.sheet.columns) in a row\n"
  }

  /// Names of files and classes may hold anything; a cell is one line.
  private static func printable(_ text: String) -> String {
    let scalars = text.unicodeScalars.map { $0.value < 0x20 || $0.value == 0x7F ? "?" : $0 }
    return String(String.UnicodeScalarView(scalars))
  }

  // MARK: JSON

  private static func json(_ outcome: DataPreview.Outcome, _ output: String) -> JSONValue {
    .object([
      ("output", .string(output)), ("columns", .int(outcome.sheet.columns)),
      ("zoom", .int(outcome.sheet.zoom)),
      ("notes", .array(outcome.notes.map { .string($0) })),
      (
        "images",
        .array(
          outcome.images.map { image in
            .object([
              ("sample", .int(image.sample)), ("name", .string(image.name)),
              ("epoch", .int(image.epoch)), ("label", .int(image.label)),
              ("class", className(image.label, outcome)),
              ("other_label", image.mixture.map { .int($0.label) } ?? .null),
              ("own_share", image.mixture.map { .double($0.ownShare) } ?? .null),
              ("height", .int(image.size.height)), ("width", .int(image.size.width)),
              ("channels", .int(image.size.channels)),
            ])
          })
      ),
    ])
  }

  private static func className(_ label: Int, _ outcome: DataPreview.Outcome) -> JSONValue {
    outcome.classNames.indices.contains(label) ? .string(outcome.classNames[label]) : .null
  }
}
