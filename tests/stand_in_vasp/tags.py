"""The INCAR tags that the stand-in knows, by the kind of their value.

VASP passes over tags that it does not know; the stand-in refuses them. A tag
is listed when it may be set for a static calculation or a relaxation. Tags of
other calculations (molecular dynamics, phonons, bands in a field, ...) are
left out on purpose, or may only be switched off.
"""

from enum import StrEnum


class Kind(StrEnum):
    """How the value of a tag is read, and written to vasprun.xml."""

    INTEGER = "int"
    REAL = "real"
    LOGICAL = "logical"
    STRING = "string"
    LOGICAL_OR_STRING = "logical or string"
    INTEGERS = "ints"
    REALS = "reals"


_TAGS = {
    Kind.INTEGER: """
        IALGO IBRION ICHARG ICORELEVEL IDIPOL IMIX INIMIX INIWAV ISEARCH ISIF ISMEAR ISPIN ISTART
        ISYM IVDW IWAVPR KPAR LDAUPRINT LDAUTYPE LMAXFOCK LMAXMIX LMAXPAW LMAXTAU LORBIT MAXMEM
        MAXMIX MIXPRE NBANDS NCORE NEDOS NELM NELMDL NELMIN NFREE NGX NGXF NGY NGYF NGZ NGZF NKRED
        NKREDX NKREDY NKREDZ NPAR NSIM NSW NWRITE VOSKOWN
    """,
    Kind.REAL: """
        AEXX AGGAC AGGAX ALDAC AMIN AMIX AMIX_MAG BMIX BMIX_MAG BPARAM CPARAM DEPER EBREAK EDIFF
        EDIFFG EMAX EMIN ENAUG ENCUT ENCUTFOCK ENINI HFSCREEN KSPACING NELECT NUPDOWN PARAM1 PARAM2
        POTIM SIGMA SMASS SYMPREC TIME VDW_A1 VDW_A2 VDW_CNRADIUS VDW_D VDW_RADIUS VDW_S6 VDW_S8
        VDW_SR WC WEIMIN ZAB_VDW
    """,
    Kind.LOGICAL: """
        ADDGRID GGA_COMPAT KGAMMA LAECHG LASPH LASYNC LCALCEPS LCALCPOL LCHARG LCHIMAG LCORR LDAU
        LDIAG LDIPOL LEFG LELF LEPSILON LH5 LHFCALC LKPROJ LMIXTAU LMONO LNONCOLLINEAR LOPTICS
        LORBMOM LPARD LPLANE LRPA LSCALAPACK LSCALU LSCAAWARE LSOL LSORBIT LSUBROT LTHOMAS LUSE_VDW
        LVDWSCS LVDW_EWALD LVHAR LVTOT LWAVE
    """,
    Kind.STRING: "ALGO GGA METAGGA PREC PRECFOCK SYSTEM",
    Kind.LOGICAL_OR_STRING: "LREAL",
    Kind.INTEGERS: "LDAUL",
    Kind.REALS: "CMBJ DIPOL LDAUJ LDAUU MAGMOM ROPT RWIGS VDW_C6 VDW_R0",
}

KNOWN: dict[str, Kind] = {tag: kind for kind, tags in _TAGS.items() for tag in tags.split()}

# Known, but TRUE asks for results that the stand-in does not have.
ONLY_FALSE = frozenset(
    {
        "LCALCEPS",
        "LCALCPOL",
        "LCHIMAG",
        "LEFG",
        "LEPSILON",
        "LKPROJ",
        "LNONCOLLINEAR",
        "LOPTICS",
        "LPARD",
        "LRPA",
        "LSORBIT",
    }
)
