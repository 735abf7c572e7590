# SPDX-License-Identifier: MIT
#
# Draws memory and time against the scratch limit: gnuplot -c limits.gnuplot limits.dat limits.svg
# gnuplot, because it makes SVG from a table of numbers and is packaged everywhere.
data = ARG1
stats data using 1 name "limit" nooutput
stats data using ($4*1000) name "ms" nooutput
set terminal svg size 1200,580 font "sans-serif,14" background "white"
set output ARG2

KiB = 1024.0
MiB = KiB * KiB
GiB = KiB * MiB
page = 4 * KiB
unfold_a = 86587211776.0
unfold_b = 144 * MiB

set style line 1 linecolor rgb "#d55e00" linewidth 2 pointtype 7 pointsize 0.7 # A
set style line 2 linecolor rgb "#0072b2" linewidth 2 pointtype 7 pointsize 0.7 # B
set style line 3 linecolor rgb "#d55e00" linewidth 2 dashtype 2
set style line 4 linecolor rgb "#0072b2" linewidth 2 dashtype 2
set style line 5 linecolor rgb "#999999" linewidth 2

set logscale x 2
set logscale y 10
set xrange [limit_min / 1.4 : 1.4 * limit_max]
set xtics ("2 KiB" 2*KiB, "8 KiB" 8*KiB, "64 KiB" 64*KiB, "512 KiB" 512*KiB, "4 MiB" 4*MiB, "16 MiB" 16*MiB, "64 MiB" 64*MiB)
set xlabel "scratch limit"
set grid xtics ytics linecolor rgb "#dddddd" linetype 1
set border 3 linecolor rgb "#555555"
set tics nomirror textcolor rgb "#000000"

set multiplot layout 1,2 margins 0.1,0.97,0.13,0.92 spacing 0.1

set title "Memory: growth of the process while planning and executing"
set ylabel "resident memory, without packed weights" offset 1,0
set label 1 "memory is counted in whole pages of 4 KiB" at graph 0.98,0.04 right textcolor rgb "#555555"
set yrange [2*KiB : 400*GiB]
set ytics ("4 KiB" 4*KiB, "64 KiB" 64*KiB, "1 MiB" MiB, "16 MiB" 16*MiB, "256 MiB" 256*MiB, "4 GiB" 4*GiB, "64 GiB" 64*GiB)
set key at graph 0.03,0.86 left top Left reverse samplen 2
plot unfold_a with lines linestyle 3 title "A, all of it unfolded: 80.6 GiB", \
     unfold_b with lines linestyle 4 title "B, all of it unfolded: 144 MiB", \
     x with lines linestyle 5 title "the limit", \
     data index 0 using 1:($3 < page ? page : $3) with linespoints linestyle 1 title "A, tilefold", \
     data index 1 using 1:($3 < page ? page : $3) with linespoints linestyle 2 title "B, tilefold"

unset label 1
set title "Time: the fastest of several executions"
set ylabel "milliseconds" offset 1,0
set yrange [ms_min / 2 : ms_max * 3]
set ytics (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
set key at graph 0.98,0.98 right top Left reverse samplen 2
plot data index 0 using 1:($4*1000) with linespoints linestyle 1 title columnheader(1), \
     data index 1 using 1:($4*1000) with linespoints linestyle 2 title columnheader(1)
