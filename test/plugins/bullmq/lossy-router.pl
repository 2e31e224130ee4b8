#!/usr/bin/perl
# A bad network between hosts on one machine: perl lossy-router.pl DELAY LOSS NAME=ADDRESS ...
# Makes a TUN device for each host and carries IP packets between them: each DELAY seconds late, each lost with probability LOSS. SIGUSR1 cuts all
# lines, SIGUSR2 mends them. It is what `tc netem` does, for kernels that are built without it. Prints "ready"; ends with its standard input.
use strict;
use warnings;
use Socket qw(inet_aton);
use Time::HiRes qw(time);
use Fcntl qw(O_RDWR O_NONBLOCK);

my ($delay, $loss, @hosts) = @ARGV;
my ($TUNSETIFF, $IFF_TUN, $IFF_NO_PI) = (0x400454ca, 0x0001, 0x1000);
my (%device, @waiting);
my $cut = 0;
my ($carried, $lost) = (0, 0);
srand(1);
$SIG{USR1} = sub { $cut = 1 };
$SIG{USR2} = sub { $cut = 0 };

for (@hosts) {
  my ($name, $address) = split /=/;
  sysopen(my $handle, '/dev/net/tun', O_RDWR | O_NONBLOCK) or die "/dev/net/tun: $!\n";
  ioctl($handle, $TUNSETIFF, pack('a16 S x22', $name, $IFF_TUN | $IFF_NO_PI)) or die "$name: $!\n";
  $device{inet_aton($address)} = $handle;
}
$| = 1;
print "ready\n";

for (;;) {
  my $set = '';
  vec($set, fileno($_), 1) = 1 for values %device, \*STDIN;
  my $pause = @waiting ? $waiting[0][0] - time() : 1;
  my $found = select($set, undef, undef, $pause > 0 ? $pause : 0);
  if ($found > 0) {
    last if vec($set, fileno(STDIN), 1) && !sysread(STDIN, my $told, 64);
    for my $handle (values %device) {
      next unless vec($set, fileno($handle), 1);
      while (sysread($handle, my $packet, 65536)) {
        next unless ord($packet) >> 4 == 4;
        my $to = $device{substr($packet, 16, 4)} or next;
        if ($cut || rand() < $loss) { $lost++; next }
        push @waiting, [time() + $delay, $to, $packet];
      }
    }
  }
  while (@waiting && $waiting[0][0] <= time()) {
    my (undef, $to, $packet) = @{ shift @waiting };
    # A host that is gone takes nothing.
    syswrite($to, $packet);
    $carried++;
  }
}
print "carried $carried, lost $lost\n";
