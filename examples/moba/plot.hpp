// SPDX-License-Identifier: BSL-1.0
// Lines of points, as an SVG.
#pragma once

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

struct plotted_line {
  std::string name;
  std::vector<std::pair<double, double>> points;  ///< across, upwards; both at least 0
};

/// Draws the lines into a file, from 0 to the largest on both axes. The captions say what the axes
/// are; throws where the file can't be written.
inline void plot(std::string const& path, std::string const& across, std::string const& upwards,
                 std::vector<plotted_line> const& lines) {
  double widest = 0.0, highest = 0.0;
  for (plotted_line const& line : lines) {
    for (auto const& [x, y] : line.points)
      widest = std::max(widest, x), highest = std::max(highest, y);
  }
  auto const tenth = [](double x) {
    return std::to_string(x).substr(0, std::to_string(x).find('.') + 2);
  };
  std::ofstream file(path);
  file << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"640\" height=\"400\" "
          "font-family=\"sans-serif\" font-size=\"12\">\n"
          "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
          "<path d=\"M60 40V340H580\" fill=\"none\" stroke=\"black\"/>\n"
          "<text x=\"180\" y=\"380\">"
       << across << ", up to " << tenth(widest) << "</text>\n<text x=\"8\" y=\"30\">" << upwards
       << ", up to " << tenth(highest) << "</text>\n";
  char const* const colours[] = {"#1f6feb", "#d1242f", "#1a7f37", "#9a6700", "#8250df"};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    std::string const colour = colours[i % 5];
    std::string path_of = "M";
    for (auto const& [across_by, up_by] : lines[i].points) {
      std::string const x = std::to_string(60.0 + 500.0 * across_by / widest);
      std::string const y = std::to_string(340.0 - 300.0 * up_by / highest);
      path_of += x + " " + y + " ";
      file << "<circle cx=\"" << x << "\" cy=\"" << y << "\" r=\"3\" fill=\"" << colour << "\"/>\n";
    }
    file << "<path d=\"" << path_of << "\" fill=\"none\" stroke=\"" << colour
         << "\"/>\n<text x=\"80\" y=\"" << 60 + 16 * i << "\" fill=\"" << colour << "\">"
         << lines[i].name << "</text>\n";
  }
  file << "</svg>\n";
  if (!file.flush()) throw std::runtime_error(path + " can't be written");
}
