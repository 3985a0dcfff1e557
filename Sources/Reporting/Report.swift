/// A table in plain text: columns aligned, two spaces between them, no trailing spaces.
package struct TextTable: Sendable {
  package enum Alignment: Sendable { case left, right }

  package struct Column: Sendable {
    package var header: String
    package var alignment: Alignment

    package static func left(_ header: String) -> Column {
      Column(header: header, alignment: .left)
    }
    package static func right(_ header: String) -> Column {
      Column(header: header, alignment: .right)
    }
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  package init(_ columns: [Column]) { self.columns = columns }

  /// A row has as many cells as the table has columns.
  package mutating func append(_ cells: [String]) {
    precondition(cells.count == columns.count, "a row needs one cell a column")
    rows.append(cells)
  }

  /// Header, a rule, and the rows; every line ends with a newline.
  package var text: String {
    let header = columns.map(\.header)
    let widths = columns.indices.map { column in
      (rows.map { $0[column].count } + [header[column].count]).max() ?? 0
    }
    let rule = widths.map { String(repeating: "-", count: $0) }
    return ([header, rule] + rows).map { line($0, widths) }.joined()
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var line = ""
    for (index, cell) in cells.enumerated() {
      let space = String(repeating: " ", count: widths[index] - cell.count)
      line += index > 0 ? "  " : ""
      line += columns[index].alignment == .left ? cell + space : space + cell
    }
    while line.last == " " { line.removeLast() }
    return line + "\n"
  }
}

/// A title and named values below it, as the closing summary of a run shows them.
package struct Summary: Sendable {
  package var title: String
  package var rows: [(String, String)]

  package init(title: String, rows: [(String, String)] = []) {
    (self.title, self.rows) = (title, rows)
  }

  package mutating func append(_ name: String, _ value: String) { rows.append((name, value)) }

  /// The title, then one line a value, the values aligned; every line ends with a newline.
  package var text: String {
    let width = rows.map(\.0.count).max() ?? 0
    return title + "\n"
      + rows.map { name, value in
        let space = value.isEmpty ? "" : String(repeating: " ", count: width - name.count + 2)
        return "  \(name)\(space)\(value)\n"
      }.joined()
  }
}
