/// The report for people, before it is written in a format: what it says, section by section.
struct Outline {
    struct Figure {
        enum Tone {
            case plain, good, bad
        }

        var number: String
        var label: String
        var tone = Tone.plain
    }

    struct Table {
        var caption: String?
        var headings: [String]
        /// Columns of numbers, which are aligned on the right.
        var numeric: Set<Int> = []
        /// Columns of commands.
        var commands: Set<Int> = []
        var rows: [[String]]
        /// What isn't in the rows.
        var note: String?
    }

    struct Section {
        /// For links.
        var name: String
        var title: String
        var paragraphs: [String] = []
        var plot: Plot?
        var tables: [Table] = []
    }

    var title: String
    var subtitle: String
    /// Sentences that an auditor can take over.
    var summary: [String]
    var figures: [Figure]
    var sections: [Section]
    var footer: [String]
}
