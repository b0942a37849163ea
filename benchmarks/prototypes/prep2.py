import sys; sys.path.insert(0,'/tmp/rabbit-scratch')
from prep import *
import scipy.sparse as sp
t0=time.time()
N=len(arts); ix={a:i for i,a in enumerate(arts)}
L=sorted({(ix[a],ix[b]) for a,b in rd('links.tsv')}); L=np.array(L)
print('self links',(L[:,0]==L[:,1]).sum(),'dups',119882-len(L))
src,dst=L[:,0],L[:,1]; E=len(L)
indptr=np.zeros(N+1,int); np.cumsum(np.bincount(src,minlength=N),out=indptr[1:])
eid={(a,b):i for i,(a,b) in enumerate(L.tolist())}
cats={}
for a,c in rd('categories.tsv'): cats.setdefault(a,c.split('.')[1:])
cat1=[cats.get(a,['?'])[0] for a in arts]; cat2=['.'.join(cats.get(a,['?'])) for a in arts]
c1=np.unique(cat1,return_inverse=True)[1]; c2=np.unique(cat2,return_inverse=True)[1]
# ---- link position
def variants(t):
    v=[t]
    s=re.sub(r'\s*\([^)]*\)','',t)
    if s!=t: v.append(s)
    if ', ' in s: v.append(s.split(', ')[0])
    return [x.lower() for x in v if x]
def stem(t):
    t=re.sub(r'\s*\([^)]*\)','',t).lower()
    for suf in ('s','es','y','ism','ity','ia','land','a','e','n','um','us'):
        if t.endswith(suf) and len(t)-len(suf)>=4: yield t[:-len(suf)]
P=np.zeros((E,9),np.float32); 
word=re.compile(r'\w')
def find(t,q,prefix=False):
    pos=[];i=t.find(q)
    while i>=0:
        j=i+len(q)
        if (i==0 or not t[i-1].isalnum()) and (prefix or j>=len(t) or not t[j].isalnum() or (t[j]=='s' and (j+1>=len(t) or not t[j+1].isalnum()))): pos.append(i)
        i=t.find(q,j)
        if len(pos)>=20: break
    return pos
tl=np.zeros(N,np.float32)
for u in range(N):
    raw=body(text(arts[u]))
    t=re.sub(r'\s+',' ',raw).lower(); 
    tl[u]=len(t)
    l=re.sub(r'\s+',' ',lead(text(arts[u]))).lower() if t else ''
    ls=t.find(l[:60]) if l else 0
    le=ls+len(l)
    for e in range(indptr[u],indptr[u+1]):
        v=dst[e]; kind=0; pos=[]
        for k,q in enumerate(variants(dec[v])):
            pos=find(t,q)
            if pos: kind=1 if k==0 else 2; break
        if not pos:
            for q in stem(dec[v]):
                pos=find(t,q,True)
                if pos: kind=3;break
        if pos:
            # prefer first mention after lead start for prose; keep both
            p=pos[0]; pp=next((x for x in pos if x>=ls),None)
            P[e]=[1,p/max(1,len(t)),np.log1p(p),np.log1p(len(pos)),pp is not None and ls<=pp<le,p<ls,kind==2,kind==3,pp if pp is not None else p]
        else: P[e]=0
    # ranks
print('found',P[:,0].mean(),time.time()-t0)
rank=np.zeros((E,2),np.float32)
for u in range(N):
    s=slice(indptr[u],indptr[u+1]); n=s.stop-s.start
    if n==0: continue
    key=np.where(P[s,0]>0,P[s,8],1e9); o=np.argsort(np.argsort(key,kind='stable'),kind='stable')
    r=np.where(P[s,0]>0,o,n)
    rank[s,0]=r/n; rank[s,1]=np.log1p(r)
P[:,8]=np.log1p(P[:,8])
np.savez('/tmp/rabbit-scratch/graph.npz',src=src,dst=dst,indptr=indptr,c1=c1,c2=c2,P=P,rank=rank,tl=tl,tlen=np.array([len(d) for d in dec]))
# ---- events
h8=lambda s:int(hashlib.sha256(s.encode()).hexdigest()[:8],16)
hidden=np.array([h8(a)%10==0 for a in arts])
pairs={};ev=[];hist=[];vis=[]
bad=collections.Counter()
for f,fin in(('paths_finished.tsv',1),('paths_unfinished.tsv',0)):
    for ti,r in enumerate(rd(f)):
        p=r[3].split(';');tgt=p[-1] if fin else r[4]
        if tgt not in ix or p[0] not in ix: bad['unknown']+=1; continue
        h=h8(p[0]+'\t'+tgt); pid=pairs.setdefault((p[0],tgt),len(pairs))
        st=[ix[p[0]]];seen=[ix[p[0]]];tmp=[];ok=True;backs=0
        for k,x in enumerate(p[1:]):
            if x=='<':
                if len(st)<2: ok=False;break
                st.pop();backs+=1
            else:
                e=eid.get((st[-1],ix.get(x,-1)))
                if e is None: ok=False;break
                tmp.append((st[-1],e,ix[tgt],pid,h%10,h//10%32,fin,fin and k==len(p)-2,len(st)-1,backs)); hist.append(None) if 0 else None
                tmp[-1]=tmp[-1]+(tuple(st),tuple(seen))
                st.append(ix[x]);seen.append(ix[x])
        if not ok: bad['click']+=1; continue
        ev+=tmp
print(bad,len(ev),len(pairs))
A=np.array([x[:10] for x in ev],np.int64)
def pad(seqs,n):
    o=np.full((len(seqs),n),-1,np.int16)
    for i,s in enumerate(seqs):
        s=s[-n:]; o[i,n-len(s):]=s   # right aligned
    return o
np.savez('/tmp/rabbit-scratch/events.npz',A=A,stack=pad([x[10] for x in ev],10),seen=pad([x[11] for x in ev],12),start=np.array([x[10][0] for x in ev]),hidden=hidden)
deg=np.diff(indptr)[A[:,0]]; print('cands mean',deg.mean(),np.percentile(deg,[5,50,95,100]), 'rows',deg.sum(),time.time()-t0)
